//! The whole site in one process: every role on its embedded engine, in a folder of its own, driven through HTTP and through the
//! application. Each test ends with [`site::Site::finish`], which fails on anything left over.

mod account;
mod boards;
mod home;
mod secrets;
mod site;
mod trash;
