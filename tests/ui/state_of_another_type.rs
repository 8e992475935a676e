use doorbell::{HandlerError, Receiver, State};

#[derive(Clone)]
struct Shop;

#[derive(Clone)]
struct App;

async fn changed(_shop: State<Shop>) -> Result<(), HandlerError> {
    Ok(())
}

fn main() {
    let _ = Receiver::builder().on("cafe", "stock.*", changed).with_state(App).build();
}
