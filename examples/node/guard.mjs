// Which commands of an agent may run, and why not:
//
//   node flowgate-node/build.mjs && node examples/node/guard.mjs
//
// In a project of your own: import { DeniedError, Guard } from 'flowgate'

import { DeniedError, Guard } from '../../flowgate-node/index.mjs'

const guard = new Guard({ modes: { 'core.git:stash-drop': 'warn' } })

for (const command of ['git status', 'git stash drop', "git commit -m 'never rm -rf /'", 'X=/; sudo rm -rf $X']) {
  const { decision, rule, reason } = guard.check(command)
  console.log(`${decision}: ${command}`, rule ? `(${rule}: ${reason})` : '')
}
console.log(guard.explain('cd /tmp && git reset --hard'))

console.log((await guard.exec('echo this may run')).stdout)
await guard.exec('git reset --hard').catch((error) => {
  if (!(error instanceof DeniedError)) throw error
  console.log(error.message)
})
