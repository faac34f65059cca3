// A plugin for OpenCode that stops destructive commands before they run. Put it into
// `.opencode/plugins/` of a project, or into `~/.config/opencode/plugins/`, and `flowgate` into the
// `package.json` beside that directory, with: import { DeniedError, Guard } from 'flowgate'

import { DeniedError, Guard } from '../../flowgate-node/index.mjs'
import { resolve } from 'node:path'

// The only export: OpenCode takes each for a plugin.
export const FlowGate = async ({ directory }) => {
  const guard = new Guard()
  return {
    'tool.execute.before': async (input, output) => {
      if (input.tool !== 'bash') return
      const { command, workdir = '.' } = output.args
      const verdict = guard.check(command, { cwd: resolve(directory, workdir) })
      // A plugin cannot ask: what a person should decide is stopped.
      if (!['allow', 'warn'].includes(verdict.decision)) throw new DeniedError(verdict)
    },
  }
}
