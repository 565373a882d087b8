//! What of HTTP reads forms.

#[path = "../../src/http/body.rs"]
pub mod body;
#[path = "../../src/http/multipart.rs"]
pub mod multipart;

pub mod error {
    use crate::service::ServiceError;

    /// Why a form is refused, as the product's error has it.
    #[derive(Debug)]
    pub enum HttpError {
        Service(ServiceError),
        BadRequest(String),
        BodyTooLarge,
        BodyTooSlow,
    }

    impl From<ServiceError> for HttpError {
        fn from(error: ServiceError) -> Self {
            Self::Service(error)
        }
    }
}
