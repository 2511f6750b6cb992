//! Framing of v1 event streams: RecordIO, incremental and bounded.
