//! What is known when no answer came.

use tonic::Status;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It never left this process: nobody could be reached.
    NotSent(String),
    /// The service may have got it, and does not answer.
    Lost(String),
    /// The service, or this client, says that such a call can't be.
    Refused(String),
}

impl Failure {
    /// Reads what a call's status tells. Errors of what was asked are in answers; the status is only about the call.
    pub fn of(status: &Status) -> Failure {
        let mut source = std::error::Error::source(status);
        while let Some(error) = source {
            if error.is::<tonic::ConnectError>() {
                return Failure::NotSent(status.message().to_owned());
            }
            source = error.source();
        }
        match status.code() {
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied | tonic::Code::InvalidArgument => {
                Failure::Refused(status.message().to_owned())
            }
            tonic::Code::OutOfRange => Failure::Refused(format!("The call is too large: {}.", status.message())),
            tonic::Code::Unimplemented => Failure::Refused("The service does not know this call. Update it before its callers.".to_owned()),
            _ => Failure::Lost(format!("{:?}: {}", status.code(), status.message())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_tells_what_is_known() {
        let connect = Status::from_error(Box::new(tonic::ConnectError("refused".into())));
        assert!(matches!(Failure::of(&connect), Failure::NotSent(_)));
        assert_eq!(Failure::of(&Status::unauthenticated("who?")), Failure::Refused("who?".to_owned()));
        assert!(matches!(Failure::of(&Status::out_of_range("x")), Failure::Refused(_)));
        for lost in
            [Status::unavailable("x"), Status::unknown("x"), Status::cancelled("x"), Status::deadline_exceeded("x"), Status::internal("x")]
        {
            assert!(matches!(Failure::of(&lost), Failure::Lost(_)), "{lost:?}");
        }
    }
}
