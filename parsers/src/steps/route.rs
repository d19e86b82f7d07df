//! `route`: where the document goes.

use super::{Entry, Failure, Flow, Form, Group, Need, OptionDoc, OptionKind, Step, StepDoc};
use crate::rules::{Options, Reader, Route};
use crate::work::Work;

pub(super) static ENTRY: Entry = Entry {
    doc: StepDoc {
        name: "route",
        group: Group::Choosing,
        summary: "where the document goes: `route: {dataset: nginx.access, namespace: shop}`",
        doc: "Documents go to the data stream `logs-<dataset>-<namespace>` of each output; what is not given stays as the output's configuration says. Outputs whose index is named by date take no part in `dataset` and `namespace`. Names are fixed texts, so that the number of data streams stays what the rules say: characters that an index name cannot have become `_`.",
        form: Form::Options,
        options: &[
            OptionDoc {
                name: "dataset",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "the dataset",
            },
            OptionDoc {
                name: "namespace",
                kind: OptionKind::Text,
                need: Need::Optional,
                doc: "the data stream's namespace",
            },
            OptionDoc {
                name: "outputs",
                kind: OptionKind::Texts,
                need: Need::Optional,
                doc: "names of the outputs that get the document; all when left out",
            },
        ],
        examples: &[
            "name: edge\nsteps:\n  - use: nginx.access\n  - route: {dataset: nginx.access, namespace: edge}\nexamples:\n  - line: '10.0.0.1 - - [10/Oct/2023:13:55:36 +0200] \"GET / HTTP/1.1\" 200 5 \"-\" \"curl/8\"'\n    fields: {source.ip: 10.0.0.1}\n",
        ],
    },
    read,
};

#[derive(Debug)]
struct To {
    route: u32,
}

fn read(reader: &mut Reader<'_>, options: &Options<'_>) -> Option<Box<dyn Step>> {
    let route = Route {
        dataset: options.text("dataset").map(str::to_owned),
        namespace: options.text("namespace").map(str::to_owned),
        outputs: options
            .texts("outputs")
            .into_iter()
            .map(|(_, name)| name.to_owned())
            .collect(),
    };
    if route == Route::default() {
        let what = "`route` needs one of `dataset`, `namespace` and `outputs`";
        reader.report(options.place, what, None);
        return None;
    }
    let route = reader.add_route(route);
    Some(Box::new(To { route }))
}

impl Step for To {
    fn run(&self, work: &mut Work<'_>) -> Result<Flow, Failure> {
        work.fields.route = Some(self.route);
        Ok(Flow::Next)
    }
}
