//! What every engine must do: one list of tests, one line per engine to run it.
