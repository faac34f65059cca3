import flowgate = require('flowgate')

const config: flowgate.Config = flowgate.Config.fromYaml(flowgate.STARTER)
const diagnostics: flowgate.Diagnostic[] = config.diagnostics
void diagnostics
const guard: flowgate.Guard = new flowgate.Guard()
const verdict: flowgate.Verdict = guard.check('ls')
void verdict
