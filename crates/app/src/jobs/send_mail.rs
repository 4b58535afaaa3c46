//! Sends a mail: into a folder, or by SMTP.

use std::path::Path;

use ::jobs::JobContext;
use async_trait::async_trait;
use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use model::{Id, Stored, User};
use serde::{Deserialize, Serialize};

use super::AppJob;
use crate::compose::App;
use crate::error::{Error, Result};

#[derive(Debug, Serialize, Deserialize)]
pub struct SendMail {
    pub to: String,
    pub to_name: String,
    pub subject: String,
    pub text: String,
    /// The same key is the same mail.
    #[serde(default)]
    pub key: Option<String>,
    /// Who gets it and who is named in it: when one of them is erased, the mail is forgotten.
    #[serde(default)]
    pub about: Vec<Id>,
}

impl SendMail {
    pub fn new(to: &Stored<User>, subject: &str, text: String) -> SendMail {
        let (address, name) = (to.data.email.clone(), to.data.name.clone());
        SendMail { to: address, to_name: name, subject: subject.to_owned(), text, key: None, about: vec![to.id] }
    }

    /// Notes that the mail names somebody besides its recipient.
    pub fn naming(mut self, person: Id) -> SendMail {
        self.about.push(person);
        self
    }

    /// Names the mail, so that the same one is not sent twice.
    pub fn once(self, key: String) -> SendMail {
        SendMail { key: Some(key), ..self }
    }
}

#[async_trait]
impl AppJob for SendMail {
    const QUEUE: &'static str = "send_mail";
    const PRIORITY: u8 = 1;
    const ATTEMPTS: u32 = 12;

    fn key(&self) -> Option<String> {
        self.key.clone()
    }

    async fn run(&self, app: &App, _: &JobContext) -> Result<()> {
        if self.to.is_empty() {
            return Ok(());
        }
        let message = self.message(app)?;
        let url = app.settings.mail_url.as_str();
        match url.split_once(':') {
            Some(("file", folder)) => write_to_folder(Path::new(folder), app.now().0, &message).await?,
            Some(("smtp" | "smtps", _)) => {
                let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(Error::internal)?.build();
                transport
                    .send(message)
                    .await
                    .map_err(|error| Error::Unavailable(format!("The mail server did not take the mail: {error}")))?;
            }
            _ => {
                return Err(Error::invalid(
                    "mail.url",
                    format!("'{url}' is no way to send mail; use file:FOLDER or smtp://USER:PASSWORD@HOST."),
                ));
            }
        }
        metrics::counter!(crate::metrics::MAILS_SENT_TOTAL).increment(1);
        Ok(())
    }
}

impl SendMail {
    fn message(&self, app: &App) -> Result<Message> {
        let address = |text: &str| text.parse().map_err(|_| Error::invalid("mail", format!("'{text}' is no mail address.")));
        let from = Mailbox::new(Some(app.settings.site_title.clone()), address(&app.settings.mail_from)?);
        let to = Mailbox::new(Some(self.to_name.clone()), address(&self.to)?);
        let body = format!("{}\n\n-- \n{}\n{}\n", self.text, app.settings.site_title, app.settings.base_url);
        // Without its type, a reader takes the text for ASCII.
        let mail = Message::builder().from(from).to(to).subject(&self.subject).message_id(None).header(ContentType::TEXT_PLAIN);
        mail.body(body).map_err(Error::internal)
    }
}

/// Writes a mail as a file: first under another name, so that a reader never sees half of one.
async fn write_to_folder(folder: &Path, now: i64, message: &Message) -> Result<()> {
    let name = format!("{now}-{:016x}.eml", runtime::random_u64());
    let (partial, path) = (folder.join(format!(".{name}")), folder.join(name));
    let io = |error: std::io::Error| Error::Unavailable(format!("The mail can't be written to {}: {error}", folder.display()));
    tokio::fs::create_dir_all(folder).await.map_err(io)?;
    tokio::fs::write(&partial, message.formatted()).await.map_err(io)?;
    tokio::fs::rename(&partial, &path).await.map_err(io)
}
