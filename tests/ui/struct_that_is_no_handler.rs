use doorbell::{Receiver, Route};

struct Mailer;

fn main() {
    let _ = Receiver::builder::<()>().route(Route::new("cafe", "stock.*"), Mailer);
}
