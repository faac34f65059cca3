//! What a provider says when it serves: whole answers, and the events of streams.

use serde_json::{Value, json};

use super::script::Script;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    /// `/v1/chat/completions`
    Chat,
    /// `/v1/responses`
    Responses,
    /// `/v1/messages`
    Messages,
}

/// One answer.
#[derive(Clone, Debug)]
pub(super) struct Speech<'s> {
    pub(super) verb: Verb,
    pub(super) script: &'s Script,
    pub(super) model: &'s str,
    /// Which answer it is, from 1.
    pub(super) number: u64,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// When, in seconds since the epoch.
    pub(super) created: u64,
}

impl Speech<'_> {
    fn text(&self) -> String {
        format!("This is answer {} of {}.", self.number, self.script.name)
    }

    fn id(&self, prefix: &str) -> String {
        format!("{prefix}_{}_{}", self.script.name, self.number)
    }

    fn total(&self) -> u64 {
        self.input_tokens + self.output_tokens
    }

    /// The whole answer.
    pub(super) fn whole(&self) -> Value {
        match self.verb {
            Verb::Chat => json!({
                "id": self.id("chatcmpl"),
                "object": "chat.completion",
                "created": self.created,
                "model": self.model,
                "system_fingerprint": self.script.name,
                "choices": [{
                    "index": 0,
                    "message": {"role": "assistant", "content": self.text()},
                    "finish_reason": "stop",
                }],
                "usage": self.chat_usage(),
            }),
            Verb::Responses => self.response("completed", json!([self.response_item()])),
            Verb::Messages => self.message(
                json!([{"type": "text", "text": self.text()}]),
                json!("end_turn"),
                self.output_tokens,
            ),
        }
    }

    fn chat_usage(&self) -> Value {
        json!({
            "prompt_tokens": self.input_tokens,
            "completion_tokens": self.output_tokens,
            "total_tokens": self.total(),
        })
    }

    fn response(&self, status: &str, output: Value) -> Value {
        let usage = (status == "completed").then(|| {
            json!({
                "input_tokens": self.input_tokens,
                "output_tokens": self.output_tokens,
                "total_tokens": self.total(),
            })
        });
        json!({
            "id": self.id("resp"),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": null,
            "model": self.model,
            "output": output,
            "usage": usage,
        })
    }

    fn response_item(&self) -> Value {
        json!({
            "id": self.id("msg"),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": self.text(), "annotations": []}],
        })
    }

    fn message(&self, content: Value, stop_reason: Value, output_tokens: u64) -> Value {
        json!({
            "id": self.id("msg"),
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": null,
            "usage": {"input_tokens": self.input_tokens, "output_tokens": output_tokens},
        })
    }

    /// The answer as server-sent events. `fault` ends it with an error instead.
    pub(super) fn events(&self, fault: Option<&Value>) -> Vec<String> {
        let mut events = match self.verb {
            Verb::Chat => self.chat_events(),
            Verb::Responses => self.response_events(),
            Verb::Messages => self.message_events(),
        };
        if let Some(error) = fault {
            events.truncate(events.len().div_ceil(2));
            events.push(match self.verb {
                Verb::Chat => data(error),
                Verb::Responses => named(&json!({
                    "type": "response.failed",
                    "response": {"id": self.id("resp"), "status": "failed", "error": error["error"]},
                })),
                Verb::Messages => named(error),
            });
        }
        events
    }

    /// The text, in as many parts as the script has it.
    fn parts(&self) -> Vec<String> {
        let text = self.text();
        let words: Vec<&str> = text.split_inclusive(' ').collect();
        let chunks = usize::try_from(self.script.chunks.max(1)).unwrap_or(1);
        let size = words.len().div_ceil(chunks).max(1);
        let mut parts: Vec<String> = words.chunks(size).map(|words| words.concat()).collect();
        parts.resize(chunks, ".".to_owned());
        parts
    }

    fn chat_events(&self) -> Vec<String> {
        let chunk = |delta: Value, finish: Value| {
            data(&json!({
                "id": self.id("chatcmpl"),
                "object": "chat.completion.chunk",
                "created": self.created,
                "model": self.model,
                "system_fingerprint": self.script.name,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }))
        };
        let mut events = vec![chunk(
            json!({"role": "assistant", "content": ""}),
            Value::Null,
        )];
        let parts = self.parts().into_iter();
        events.extend(parts.map(|part| chunk(json!({"content": part}), Value::Null)));
        events.push(chunk(json!({}), json!("stop")));
        events.push(data(&json!({
            "id": self.id("chatcmpl"),
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": [],
            "usage": self.chat_usage(),
        })));
        events.push("data: [DONE]\n\n".to_owned());
        events
    }

    fn response_events(&self) -> Vec<String> {
        let mut events = vec![named(&json!({
            "type": "response.created",
            "response": self.response("in_progress", json!([])),
        }))];
        let item = self.id("msg");
        events.extend(self.parts().into_iter().map(|part| {
            named(&json!({
                "type": "response.output_text.delta",
                "item_id": item,
                "output_index": 0,
                "content_index": 0,
                "delta": part,
            }))
        }));
        events.push(named(&json!({
            "type": "response.completed",
            "response": self.response("completed", json!([self.response_item()])),
        })));
        events
    }

    fn message_events(&self) -> Vec<String> {
        let mut events = vec![
            named(
                &json!({"type": "message_start", "message": self.message(json!([]), Value::Null, 1)}),
            ),
            named(
                &json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            ),
        ];
        events.extend(self.parts().into_iter().map(|part| {
            let delta = json!({"type": "text_delta", "text": part});
            named(&json!({"type": "content_block_delta", "index": 0, "delta": delta}))
        }));
        events.extend([
            named(&json!({"type": "content_block_stop", "index": 0})),
            named(&json!({
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": null},
                "usage": {"output_tokens": self.output_tokens},
            })),
            named(&json!({"type": "message_stop"})),
        ]);
        events
    }
}

fn data(event: &Value) -> String {
    format!("data: {event}\n\n")
}

/// An event with its type as its name.
fn named(event: &Value) -> String {
    let name = event["type"].as_str().unwrap_or("message");
    format!("event: {name}\ndata: {event}\n\n")
}
