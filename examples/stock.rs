//! A service that writes to a database, and its client: orders from a stock.
//!
//! ```text
//! $ cargo run --example stock -- stock.db &        # serves the queue "stock"; SIGTERM and Ctrl-C drain
//! $ cargo run --example stock -- order-1 tea 2     # asks
//! 8 left
//! $ cargo run --example stock -- order-1 tea 2     # again: nothing more is taken
//! 8 left
//! ```
//!
//! Delivery is at least once: after a failure the server may get a request again, although it has done what it asks. So
//! each order has an id, which its caller chooses, and what an order takes is recorded with it in one transaction. The
//! broker is the one of the variable `AMQP_URL`.

#![allow(clippy::print_stdout, reason = "a program")]

use fibrpc::server::Cancel;
use fibrpc::{Client, Json, Server, State, Status, handler};
use futures_util::StreamExt as _;
use rusqlite::{Connection, params};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use std::env;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::spawn_blocking;

#[derive(serde::Deserialize, serde::Serialize)]
struct Order {
    id: String,
    item: String,
    count: u32,
}

#[derive(serde::Deserialize, serde::Serialize)]
struct Left {
    left: u32,
}

/// Why an order failed. A handler's error is anything that becomes a `Status`, so that `?` works for every cause.
struct Failed(Status);

impl From<Failed> for Status {
    fn from(failed: Failed) -> Self {
        failed.0
    }
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        match error {
            rusqlite::Error::QueryReturnedNoRows => Self(Status::not_found("no such item")),
            error => Self(Status::internal(format!("the database: {error}"))),
        }
    }
}

impl From<tokio::task::JoinError> for Failed {
    fn from(error: tokio::task::JoinError) -> Self {
        Self(Status::internal(error.to_string()))
    }
}

/// The state of the handler; each request has a clone.
type Database = Arc<Mutex<Connection>>;

async fn order(
    State(database): State<Database>,
    cancel: Cancel,
    Json(order): Json<Order>,
) -> Result<Json<Left>, Failed> {
    // The database blocks, which the task that serves all requests must not.
    let taking = spawn_blocking(move || {
        let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
        take(&mut database, &order, &cancel)
    });
    let left = taking.await??;
    Ok(Json(Left { left }))
}

/// Takes what is ordered, and returns how much is left.
fn take(database: &mut Connection, order: &Order, cancel: &Cancel) -> Result<u32, Failed> {
    let Order { id, item, count } = order;
    // Rolled back if it is dropped before the commit.
    let transaction = database.transaction()?;
    let select = "SELECT count FROM stock WHERE item = ?";
    let before: u32 = transaction.query_row(select, [item], |row| row.get(0))?;
    let insert = "INSERT OR IGNORE INTO orders VALUES (?, ?, ?)";
    if transaction.execute(insert, params![id, item, count])? == 0 {
        // An order that was taken before.
        return Ok(before);
    }
    let left = before.checked_sub(*count).ok_or_else(|| {
        let status = Status::failed_precondition(format!("only {before} left"));
        status.with_details(json!({"left": before}))
    })?;
    let update = "UPDATE stock SET count = ? WHERE item = ?";
    transaction.execute(update, params![left, item])?;
    // This thread goes on if the handler is dropped at the caller's deadline.
    if cancel.is_cancelled() {
        return Err(Status::deadline_exceeded("nothing was taken").into());
    }
    transaction.commit()?;
    Ok(left)
}

fn open(file: &str) -> rusqlite::Result<Database> {
    let database = Connection::open(file)?;
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS stock (item TEXT PRIMARY KEY, count INTEGER NOT NULL);
         CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, item TEXT, count INTEGER);
         INSERT OR IGNORE INTO stock VALUES ('coffee', 5), ('tea', 10);",
    )?;
    Ok(Arc::new(Mutex::new(database)))
}

async fn ask(url: &str, order: Order) -> Result<(), Box<dyn Error>> {
    let client = Client::connect(url).await?;
    match client.call::<Json<Left>>("stock", Json(order)).await {
        Ok(Json(Left { left })) => println!("{left} left"),
        Err(error) => match error.status().details() {
            Some(details) => println!("{error}: {details}"),
            None => println!("{error}"),
        },
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("AMQP_URL").unwrap_or("amqp://localhost/%2f".into());
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [id, item, count] = &arguments[..] {
        let (id, item, count) = (id.clone(), item.clone(), count.parse()?);
        return ask(&url, Order { id, item, count }).await;
    }
    let database = open(arguments.first().map_or("stock.db", String::as_str))?;
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    Server::builder(url)
        .queue("stock")
        .serve(handler(order).with_state(database))
        .with_graceful_shutdown(async move {
            signals.next().await;
        })
        .await?;
    Ok(())
}
