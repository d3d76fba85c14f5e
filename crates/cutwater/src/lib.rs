//! cutwater
