use std::{cell::Cell, rc::Rc};

use doorbell::{HandlerError, Receiver};

fn main() {
    let count = Rc::new(Cell::new(0));
    let _ = Receiver::builder::<()>().on("cafe", "stock.*", move || {
        count.set(count.get() + 1);
        async { Ok::<_, HandlerError>(()) }
    });
}
