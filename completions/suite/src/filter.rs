//! Choosing.

use std::sync::Arc;

use midplane::completions::{Execution, Filter, Namespace, SubscribeError, Tag};
use midplane_testkit::within;

use crate::fixture::Fixture;
use crate::script::{complete, execution, expect, expect_through, start, subscribe_filtered};

/// What namespaces and tags may be: absent, or texts that only an exact comparison tells apart.
const VALUES: [Option<&str>; 4] = [None, Some("a"), Some("A"), Some("a%")];

fn every() -> impl Iterator<Item = (Option<&'static str>, Option<&'static str>)> {
    VALUES
        .into_iter()
        .flat_map(|first| VALUES.into_iter().map(move |second| (first, second)))
}

/// "Namespace AND tag, exact, a missing value never matches"; "a backend that cannot filter errs and never
/// streams unfiltered".
pub(crate) async fn a_filter_is_exact_or_refused(fixture: Arc<dyn Fixture>) {
    let backend = fixture.backend();
    let mut streams = Vec::new();
    for (namespace, tag) in every() {
        let mut filter = Filter::all();
        if let Some(namespace) = namespace {
            filter = filter.with_namespace(Namespace::new(namespace).expect("an id"));
        }
        if let Some(tag) = tag {
            filter = filter.with_tag(Tag::new(tag).expect("an id"));
        }
        if !filter.is_all() && !backend.capabilities().filters() {
            let call = backend.subscribe_completions_filtered(&filter);
            let error = within("subscribing", call)
                .await
                .expect_err("it cannot filter");
            assert!(matches!(error, SubscribeError::CannotFilter), "{error:?}");
            continue;
        }
        let stream = subscribe_filtered(&*fixture.backend(), &filter).await;
        streams.push(((namespace, tag), stream));
    }
    let producer = fixture.producer();
    let id = |found: (Option<&str>, Option<&str>)| format!("{found:?}");
    for found in every() {
        let mut started = Execution::new(execution(id(found)));
        started.namespace = found.0.map(|text| Namespace::new(text).expect("an id"));
        started.tag = found.1.map(|text| Tag::new(text).expect("an id"));
        start(&*producer, &started).await;
        complete(&*producer, id(found)).await;
    }
    // What is left over in a stream would come before its fence.
    for (wanted, mut stream) in streams {
        for found in every() {
            let asked = |wanted: Option<&str>, found| wanted.is_none() || wanted == found;
            if asked(wanted.0, found.0) && asked(wanted.1, found.1) {
                expect(&mut stream, id(found)).await;
            }
        }
        let mut fence = Execution::new(execution(format!("fence {wanted:?}")));
        fence.namespace = wanted.0.map(|text| Namespace::new(text).expect("an id"));
        fence.tag = wanted.1.map(|text| Tag::new(text).expect("an id"));
        let mut fenced = subscribe_filtered(&*fixture.backend(), &Filter::all()).await;
        start(&*producer, &fence).await;
        complete(&*producer, &fence.id).await;
        expect(&mut fenced, &fence.id).await;
        // Fences of streams before this one may match it too.
        expect_through(&mut stream, &fence.id, "fence").await;
    }
}
