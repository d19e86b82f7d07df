//! Bodies of answers: whole ones, and streams that a task feeds.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Frame;
use hyper::{Response, StatusCode, header};
use serde_json::Value;
use tokio::sync::mpsc;

/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Pieces of a stream that wait for a slow reader; the task that makes them waits then.
const WAITING_PIECES: usize = 8;

/// A whole body.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An answer of JSON.
pub(crate) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    typed(status, "application/json", value.to_string())
}

/// An answer of this media type.
pub(crate) fn typed(
    status: StatusCode,
    media_type: &'static str,
    bytes: impl Into<Bytes>,
) -> Response<Body> {
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(media_type),
    );
    response
}

/// The end of a stream that pieces are put into. Dropped without [`Feed::end`] the answer is cut,
/// so that the reader notices that it is not whole.
pub(crate) struct Feed {
    sender: mpsc::Sender<std::io::Result<Bytes>>,
    is_whole: bool,
}

impl Feed {
    /// Sends a piece, and waits while the reader is slow. False when the reader is gone.
    pub(crate) async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        self.sender.send(Ok(bytes.into())).await.is_ok()
    }

    /// Resolves when the reader is gone.
    pub(crate) async fn closed(&self) {
        self.sender.closed().await;
    }

    /// The stream is whole.
    pub(crate) fn end(mut self) {
        self.is_whole = true;
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if !self.is_whole {
            // A reader that is gone or this slow has noticed anyway.
            drop(
                self.sender
                    .try_send(Err(std::io::Error::other("the answer is cut"))),
            );
        }
    }
}

/// A body that is fed.
pub(crate) fn stream() -> (Feed, Body) {
    let (sender, receiver) = mpsc::channel(WAITING_PIECES);
    let feed = Feed {
        sender,
        is_whole: false,
    };
    (feed, Fed(receiver).boxed_unsync())
}

struct Fed(mpsc::Receiver<std::io::Result<Bytes>>);

impl hyper::body::Body for Fed {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::io::Result<Frame<Bytes>>>> {
        self.0
            .poll_recv(context)
            .map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}
