//! A null aggregator (made real when the wire codec is there).
