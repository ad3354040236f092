//! Programs that people would write with the crate. That they compile, and that what they do can be spawned, is most of
//! what they show; some run as well, here or over each transport in `both`.

#[expect(dead_code, reason = "it runs in `both`")]
mod p01_block;
mod p02_repl;
#[expect(dead_code, reason = "a struct holds what keeps it alive")]
mod p03_struct;
#[expect(dead_code, reason = "printed by `Debug`")]
mod p04_combine;
mod p05_sink;
mod p06_retry;
mod p07_token;
mod p08_iced;
mod p09_leptos;
mod p10_axum;
mod p12_transport;
#[expect(dead_code, reason = "it runs in `both` as well")]
mod p13_tests;
mod p14_shutdown;
mod p16_conveniences;

#[test]
fn all_can_be_spawned() {
    fn spawnable(_: impl Future<Output: Send> + Send + 'static) {}
    spawnable(p02_repl::main());
    spawnable(p03_struct::main());
    spawnable(p04_combine::main());
    spawnable(p05_sink::main());
    spawnable(p06_retry::main());
    spawnable(p07_token::main());
    spawnable(p08_iced::main());
    spawnable(p09_leptos::main());
    spawnable(p10_axum::main());
    spawnable(p12_transport::main());
    spawnable(p14_shutdown::main());
    spawnable(p16_conveniences::main());
}

#[tokio::test]
async fn an_application_is_tested_with_the_memory_pair() {
    p13_tests::with_memory().await.unwrap();
}
