//! `/board/{id}/collaborators…`, `/board/{id}/invitation`, `/board/{id}/leave`: who works on a board.

use app::{Error, What};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use model::object::Role;
use model::{BoardId, UserId};
use serde::Deserialize;

use super::address::At;
use super::auth::form_errors;
use super::boards::{open, open_as};
use super::form::Form;
use crate::context::{Context, FlashNote};
use crate::limits::Category;
use crate::present;
use crate::respond::{Answer, Told, done, frame, page, redirect_with, refused};
use crate::server::Web;
use crate::view::FormErrors;
use crate::view::board_edit::{CollaboratorRow, Collaborators};
use crate::view::page::Nav;

pub fn router() -> Router<Web> {
    Router::new()
        .route("/board/{id}/collaborators", get(list).post(invite))
        .route("/board/{id}/collaborators/{user}", post(change))
        .route("/board/{id}/collaborators/{user}/remove", post(remove))
        .route("/board/{id}/invitation", post(answer))
        .route("/board/{id}/leave", post(leave))
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct InviteForm {
    login: String,
    role: String,
}

impl InviteForm {
    fn role(&self) -> app::Result<Role> {
        match self.role.as_str() {
            "view" => Ok(Role::View),
            "add" => Ok(Role::Add),
            "edit" => Ok(Role::Edit),
            _ => Err(Error::invalid("login", "Choose what they may do: look, add or edit.")),
        }
    }
}

async fn list_view(web: &Web, context: &Context, id: BoardId, login: String, errors: FormErrors) -> Answer {
    let opened = open_as(web, context, id, Role::Owner).await.told(web, context)?;
    let now = web.app.now();
    let people = web.app.collaborators(&context.viewer, id).await.told(web, context)?;
    let rows = people.into_iter().map(|(collaborator, user)| CollaboratorRow {
        person: present::person(&user),
        role: collaborator.role,
        accepted: collaborator.accepted,
        since: present::time(collaborator.at, now),
    });
    let mut frame = frame(web, context, "Collaborators", Nav::Elsewhere).await;
    frame.unlisted = true;
    let view = Collaborators {
        page: frame,
        board: id,
        board_name: opened.board.data.name.clone(),
        board_url: opened.url,
        owner: present::person(&opened.owner),
        people: rows.collect(),
        login,
        errors,
    };
    Ok(page(context, &view))
}

async fn list(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    list_view(&web, &context, id, String::new(), FormErrors::none()).await
}

async fn invite(State(web): State<Web>, context: Context, At(id): At<BoardId>, Form(form): Form<InviteForm>) -> Answer {
    open_as(&web, &context, id, Role::Owner).await.told(&web, &context)?;
    let invited = async {
        web.limit(&context, Category::Write)?;
        let login = form.login.trim().trim_start_matches('@');
        let user = web.app.user_named(&context.viewer, login).await.map_err(|error| match error {
            Error::NotFound(_) => Error::invalid("login", format!("There is nobody with the user name '{login}'.")),
            other => other,
        })?;
        web.app.invite(&context.viewer, id, present::user_id(&user), form.role()?).await?;
        Ok(user)
    };
    match form_errors(invited.await).told(&web, &context)? {
        Ok(user) => {
            let note = FlashNote::done(format!("{} is invited.", user.data.name));
            Ok(redirect_with(&format!("/board/{id}/collaborators"), &note))
        }
        Err(errors) => {
            // The form shows one field; whatever is wrong stands beside it.
            let errors = FormErrors(errors.0.into_iter().map(|error| model::Invalid::new("login", error.message)).collect());
            refused(list_view(&web, &context, id, form.login, errors).await)
        }
    }
}

async fn change(State(web): State<Web>, context: Context, At((id, user)): At<(BoardId, UserId)>, Form(form): Form<InviteForm>) -> Answer {
    let opened = open_as(&web, &context, id, Role::Owner).await.told(&web, &context)?;
    let changed = async {
        web.limit(&context, Category::Write)?;
        // Inviting is a form of its own: here nobody new comes in.
        if !opened.board.data.collaborators.iter().any(|collaborator| collaborator.user == user) {
            return Err(Error::NotFound(What::User));
        }
        web.app.invite(&context.viewer, id, user, form.role()?).await
    };
    changed.await.told(&web, &context)?;
    Ok(done(&context, &format!("/board/{id}/collaborators")))
}

async fn remove(State(web): State<Web>, context: Context, At((id, user)): At<(BoardId, UserId)>) -> Answer {
    open_as(&web, &context, id, Role::Owner).await.told(&web, &context)?;
    web.app.remove_collaborator(&context.viewer, id, user).await.told(&web, &context)?;
    Ok(done(&context, &format!("/board/{id}/collaborators")))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AnswerForm {
    answer: String,
}

async fn answer(State(web): State<Web>, context: Context, At(id): At<BoardId>, Form(form): Form<AnswerForm>) -> Answer {
    let me = context.viewer.require().told(&web, &context)?;
    match form.answer.as_str() {
        "accept" => {
            web.app.accept_invitation(&context.viewer, id).await.told(&web, &context)?;
            let opened = open(&web, &context, id).await.told(&web, &context)?;
            let note = FlashNote::done(format!("You are on the board {} now.", opened.board.data.name));
            Ok(redirect_with(&opened.url, &note))
        }
        "decline" => {
            // Somebody who is on the board already leaves it by another form, which asks first.
            let waits = web.app.invitations(&context.viewer).await.told(&web, &context)?.iter().any(|(board, ..)| board.id == id.id());
            if !waits {
                return Err(Error::NotFound(What::Invitation)).told(&web, &context);
            }
            web.app.remove_collaborator(&context.viewer, id, me).await.told(&web, &context)?;
            Ok(redirect_with("/notifications", &FlashNote::done("The invitation is declined.")))
        }
        _ => Err(Error::invalid("answer", "Answer 'accept' or 'decline'.")).told(&web, &context),
    }
}

async fn leave(State(web): State<Web>, context: Context, At(id): At<BoardId>) -> Answer {
    let me = context.viewer.require().told(&web, &context)?;
    let opened = open(&web, &context, id).await.told(&web, &context)?;
    web.app.remove_collaborator(&context.viewer, id, me).await.told(&web, &context)?;
    let username = context.viewer.user.as_ref().map_or("", |user| user.data.username.as_str());
    Ok(redirect_with(&format!("/{username}"), &FlashNote::done(format!("You left the board {}.", opened.board.data.name))))
}
