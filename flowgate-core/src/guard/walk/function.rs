//! Functions: read where they are called, with the arguments they are called with.

use super::{Arg, Io, Origin, Walker};
use crate::guard::value::{Flow, Function, Producer};

impl Walker<'_> {
    /// Remembers the body of a function.
    pub(super) fn define(&mut self, name: &str, body: &str, origin: Origin) {
        self.work(body.len());
        if self.exhausted() {
            return;
        }
        self.state.functions.push(Function {
            name: name.to_owned(),
            body: body.to_owned(),
            origin,
            remote: self.remote,
            called: false,
        });
    }

    /// The function that a command word calls. One that calls itself calls the program of its name.
    pub(super) fn function(&mut self, name: &str) -> Option<usize> {
        if self.state.functions.is_empty() {
            return None;
        }
        self.work(self.state.functions.len());
        if self.calls.iter().any(|c| c == name) {
            return None;
        }
        self.state.functions.iter().rposition(|f| f.name == name)
    }

    /// Reads the body of a function with the words it is called with.
    pub(super) fn call_function(&mut self, index: usize, args: &[Arg<'_>], io: &Io<'_>) -> Flow {
        let words = args.iter().map(|a| a.text.to_owned()).collect();
        self.body(index, Some(words), io.stdin.clone(), io.wanted)
    }

    /// Does something that this shell's functions have no part in: another program runs it.
    pub(crate) fn elsewhere<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let functions = std::mem::take(&mut self.state.functions);
        let result = act(self);
        let own = std::mem::replace(&mut self.state.functions, functions);
        self.state.functions.extend(own);
        result
    }

    /// Reads the functions that nobody called: something else may.
    pub(crate) fn uncalled(&mut self) {
        let mut index = 0;
        while index < self.state.functions.len() {
            if !self.state.functions[index].called {
                self.body(index, None, Flow::Nothing, false);
            }
            index += 1;
        }
    }

    fn body(
        &mut self,
        index: usize,
        arguments: Option<Vec<String>>,
        stdin: Flow,
        wanted: bool,
    ) -> Flow {
        let Some(function) = self.state.functions.get_mut(index) else {
            return Flow::Unknown(Producer::Other);
        };
        function.called = true;
        let (name, body, origin) = (
            function.name.clone(),
            function.body.clone(),
            function.origin,
        );
        let function_remote = function.remote;
        let remote = self.remote;
        self.remote |= function_remote;
        let saved = std::mem::replace(&mut self.state.arguments, arguments);
        self.calls.push(name);
        let flow = self.walk(&body, origin, stdin, wanted);
        self.calls.pop();
        self.state.arguments = saved;
        self.remote = remote;
        flow
    }
}
