//! What goes over the wire, byte for byte.

use ncloud_container_registry::{Client, Credentials};

use crate::gateway::{ACCESS_KEY, Gateway, SECRET_KEY};

fn client(gateway: &Gateway) -> Client {
    let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY).unwrap();
    Client::builder(credentials)
        .api_url(&gateway.url())
        .build()
        .unwrap()
}

#[test]
fn one_request_deletes_one_image() {
    let gateway = Gateway::with(&["my-registry/hello/world", "my-registry/hello"]);

    client(&gateway)
        .delete_image("my-registry", "hello/world")
        .unwrap();

    assert_eq!(gateway.images(), ["my-registry/hello"]);
    let requests = gateway.requests();
    let [request] = &*requests else {
        panic!("{requests:?}")
    };
    assert_eq!(
        request.line(),
        "DELETE /ncr/api/v2/repositories/my-registry/hello%2Fworld HTTP/1.1"
    );
}
