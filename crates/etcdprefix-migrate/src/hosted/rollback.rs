//! The way back at any time, by the annotation or by the journal.

use super::journal::{Journal, Phase, State, TAKEN_BACK, UPLOAD};
use super::look::object_name;
use super::objects::{Objects, meta};
use super::record::Record;
use super::results::PutBack;
use super::undo::{self, Back, Undone};
use super::{RollbackOptions, Setup, asleep, targets};
use crate::error::{Error, Result};
use crate::protocol::StoreAccess;

/// What [`super::rollback`] does.
pub async fn rollback(setup: &Setup, options: &RollbackOptions) -> Result<PutBack> {
    let journal = Journal::open(&setup.folder)?;
    let own = journal.state().filter(State::is_open);
    let objects = Objects::open(setup).await?;
    let hosted = match &own {
        Some(_) => objects.find_hosted().await?.unwrap_or_default(),
        None => objects.hosted().await?,
    };
    let annotated = Record::of(&hosted)?;
    // Copied with the annotation, as a backup does: it was never this one that was put to sleep.
    let annotated = annotated.filter(|record| meta(&hosted, "uid") == record.uid);
    if let Some(state) = &own
        && meta(&hosted, "uid") != state.record.uid
        && !options.accept_changed
    {
        return Err(Error::NotFit(undo::gone(&state.record)));
    }
    let own = own.filter(|own| annotated.as_ref().is_none_or(|it| it.run == own.record.run));
    if let (Some(record), None) = (&annotated, &own)
        && !record.made
        && !options.take_over
    {
        let (run, by) = (&record.run, &record.by);
        return Err(Error::Busy(format!(
            "run {run} is of {by}, and may be at work; try: --take-over if it certainly is not"
        )));
    }
    let Some(record) = annotated.as_ref().or(own.as_ref().map(|state| &state.record)) else {
        return Ok(PutBack { run: None, changed: vec![], object_deleted: None, warnings: vec![] });
    };
    let object = unused(setup, record, own.as_ref(), &options.store);
    let back = Back {
        accept_changed: options.accept_changed,
        may_be_late: own.as_ref().map_or(!record.made, State::may_be_late),
        object: object.as_ref(),
    };
    let known = Setup { control_plane: record.control_plane.clone(), ..setup.clone() };
    let undone = undo::put_back(&known, record, back).await?;
    if let Some(state) = &own {
        if !state.is_made() {
            targets::remove(&state.files, &state.record.run);
        }
        journal.set_phase(Phase::PutBack)?;
    }
    let Undone { changed, left: mut warnings, object_deleted } = undone;
    if !changed.is_empty() {
        warnings.extend(asleep::serving(&known, record).await);
    }
    let was_asleep =
        annotated.is_some() || !changed.is_empty() || own.as_ref().is_some_and(|it| !it.is_made());
    let run = was_asleep.then(|| record.run.clone());
    Ok(PutBack { run, changed, object_deleted, warnings })
}

/// The object, if nobody can use it.
fn unused(
    setup: &Setup,
    record: &Record,
    own: Option<&State>,
    given: &StoreAccess,
) -> Option<StoreAccess> {
    match own {
        Some(state) => {
            // The annotation may still say so of one that was being taken back.
            let is_made = record.made && !state.has_begun(TAKEN_BACK) || state.is_made();
            (!is_made && state.has_begun(UPLOAD)).then(|| state.record.object.clone())
        }
        // Whoever may change the annotation must not have anything else deleted.
        None => {
            let is_ours = record.object.url.ends_with(&object_name(setup, &record.run));
            (!record.made && is_ours).then(|| reached(&record.object, given))
        }
    }
}

/// The object of another machine's run, by this machine's way to the store.
fn reached(object: &StoreAccess, given: &StoreAccess) -> StoreAccess {
    StoreAccess {
        url: object.url.clone(),
        endpoint: given.endpoint.clone().or_else(|| object.endpoint.clone()),
        presign_endpoint: given
            .presign_endpoint
            .clone()
            .or_else(|| object.presign_endpoint.clone()),
        region: given.region.clone().or_else(|| object.region.clone()),
        internal: given.internal || object.internal,
        path_style: given.path_style || object.path_style,
        ..given.clone()
    }
}
