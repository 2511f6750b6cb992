//! Several containerizers behind one.
