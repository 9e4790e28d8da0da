//! That no redirect is followed, whoever sends the request.

use ncloud_container_registry::ErrorKind;
use ncloud_container_registry::ureq::{self, config::RedirectAuthHeaders, http::Method};

use crate::gateway::{Gateway, response};
use crate::{builder, client};

/// A gateway with an image, another that it redirects to, and the header that does.
fn two_gateways() -> (Gateway, Gateway, String) {
    let elsewhere = Gateway::with(&["r/i"]);
    let location = format!("Location: {}/repositories/r/i\r\n", elsewhere.url());
    (Gateway::with(&["r/i"]), elsewhere, location)
}

#[test]
fn delete_image_and_get_follow_no_redirect() {
    let (gateway, elsewhere, location) = two_gateways();
    let agent = ureq::Agent::config_builder()
        .max_redirects(5)
        .redirect_auth_headers(RedirectAuthHeaders::SameHost)
        .build()
        .new_agent();
    let clients = [
        client(&gateway),
        builder(&gateway).agent(agent).build().unwrap(),
    ];
    for client in clients {
        for (status, body) in [
            (301, ""),
            (302, "<html>"),
            (303, ""),
            (307, ""),
            (308, "{}"),
        ] {
            let redirect = response(&format!("{status} Moved"), &location, body);
            gateway.respond(redirect.clone());
            let deleted = client.delete_image("r", "i").unwrap_err();
            gateway.respond(redirect);
            let read = client.get(&["repositories", "r", "i"], &[]).unwrap_err();
            for (error, is_unknown) in [(deleted, true), (read, false)] {
                assert_eq!(error.kind(), ErrorKind::UnexpectedResponse);
                assert_eq!((error.status(), error.attempts()), (Some(status), 1));
                assert_eq!(error.may_have_been_deleted(), is_unknown);
                let shown = format!(" to {}", location["Location: ".len()..].trim_end());
                assert!(error.to_string().contains(&shown), "{error}");
            }
        }
    }
    assert_eq!(elsewhere.connections(), 0);
    assert_eq!(gateway.images(), ["r/i"]);
}

#[test]
fn sign_request_and_sign_delete_image_forbid_redirects_to_any_agent() {
    let (gateway, elsewhere, location) = two_gateways();
    let client = client(&gateway);
    let config = ureq::Agent::config_builder().max_redirects(9);
    for agent in [ureq::agent(), config.build().new_agent()] {
        for request in [
            client.sign_delete_image("r", "i").unwrap(),
            client
                .sign_request(Method::GET, &["repositories", "r"], &[])
                .unwrap(),
        ] {
            gateway.respond(response("307 Temporary Redirect", &location, ""));
            assert_eq!(agent.run(request).unwrap().status(), 307);
        }
    }
    assert_eq!(elsewhere.connections(), 0);
}
