//! Token buckets: rate limits that delay and never drop.

use std::time::Duration;

/// Bytes a second, with up to a second's worth saved.
///
/// A taker may overdraw by one chunk and then waits until that is paid.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    rate: f64,
    tokens: f64,
    at: Duration,
}

impl Bucket {
    pub(crate) fn new(rate: u64, now: Duration) -> Self {
        let rate = rate.max(1) as f64;
        Self {
            rate,
            tokens: rate,
            at: now,
        }
    }

    /// Bytes a second.
    pub(crate) fn rate(&self) -> u64 {
        self.rate as u64
    }

    /// Bytes that may be taken now; else how long to wait until a tenth of a second's worth is
    /// there.
    pub(crate) fn ask(&mut self, now: Duration) -> Result<u64, Duration> {
        let gained = now.saturating_sub(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + gained).min(self.rate);
        self.at = now;
        if self.tokens >= 1.0 {
            return Ok(self.tokens as u64);
        }
        let missing = self.rate / 10.0 - self.tokens;
        Err(Duration::from_secs_f64((missing / self.rate).max(0.001)))
    }

    pub(crate) fn take(&mut self, bytes: u64) {
        self.tokens -= bytes as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_keeps_its_rate_over_time() {
        let mut now = Duration::from_secs(100);
        let mut bucket = Bucket::new(1000, now);
        let mut taken = 0;
        let end = now + Duration::from_secs(60);
        while now < end {
            match bucket.ask(now) {
                Ok(_) => {
                    bucket.take(300);
                    taken += 300;
                }
                Err(wait) => now += wait,
            }
        }
        assert!((60_000..=61_600).contains(&taken), "{taken}");
    }
}
