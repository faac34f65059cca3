# The guard and a profile from Ruby, with the module that uniffi generates (see docs/uniffi.md):
#
#   ruby -I DIRECTORY_OF_FLOWGATE_RB examples/ruby/guard.rb

require 'json'
require 'flowgate'

guard = Flowgate::Guard.new
place = Flowgate::Context.new(cwd: '/home/dev/project', home: '/home/dev')

verdict = guard.check('X=/; sudo rm -rf $X', place)
puts verdict.decision == Flowgate::Decision::DENY # => true
puts verdict.rule # => core.filesystem:rm-root
puts guard.check("git commit -m 'never rm -rf /'", place).decision == Flowgate::Decision::ALLOW # => true

config = Flowgate::Config.from_yaml(Flowgate.starter)
puts config.profiles.join(', ') # => balanced, cost, reliability
puts JSON.parse(config.profile('balanced').to_json)['litellm_settings']['num_retries'] # => 2

begin
  Flowgate::Config.from_yaml("config_version: 2\nprofile: {}\n")
rescue Flowgate::FlowgateError::ConfigError => error
  problem = error.diagnostics.first
  puts "#{problem.span.line}: #{problem.message}; #{problem.hint}" # => 2: unknown key `profile`; did you mean `profiles`?
end
