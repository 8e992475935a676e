use std::io;

use doorbell::Receiver;

async fn changed() -> Result<(), io::Error> {
    Err(io::Error::other("no"))
}

fn main() {
    let _ = Receiver::builder::<()>().on("cafe", "stock.*", changed);
}
