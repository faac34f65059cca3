# Runs the shared vectors through what uniffi generates for Ruby.

require 'json'
require 'flowgate'

DATA = File.expand_path('../../flowgate-core/testdata', __dir__)
VECTORS = JSON.parse(File.read("#{DATA}/vectors.json"))
GUARD = JSON.parse(File.read("#{DATA}/guard_vectors.json"))

def equal(found, expected, name)
  raise "#{name}: #{found.inspect} instead of #{expected.inspect}" unless found == expected
end

# Enums are integers in Ruby; their names are constants.
def name_of(enum, value)
  enum.constants.find { |name| enum.const_get(name) == value }.to_s.downcase
end

VECTORS['config'].each do |vector|
  begin
    config = Flowgate::Config.from_yaml(vector['yaml'])
    found = config.diagnostics
  rescue Flowgate::FlowgateError::ConfigError => error
    config = nil
    found = error.diagnostics
  end
  equal(!config.nil?, vector['ok'], vector['name'])
  equal(found.map { |d| [d.code, d.span.line, d.span.column] }, vector['problems'], vector['name'])
  next unless config && vector.key?('document')

  equal(JSON.parse(config.to_json), vector['document'], vector['name'])
end

VECTORS['merge'].each do |vector|
  merge = Flowgate.merge(JSON.generate(vector['base']), JSON.generate(vector['overlay']))
  equal(JSON.parse(merge.merged).to_json, vector['merged'].to_json, vector['name'])
  equal(merge.warnings.map(&:code), vector['warnings'], vector['name'])
end

VECTORS['paths'].each do |vector|
  resolved = begin
    Flowgate.resolve_path(vector['path'], vector['dir'], vector['home'])
  rescue Flowgate::FlowgateError::ConfigError
    nil
  end
  equal(resolved, vector['resolved'], vector['name'])
end

profiles = VECTORS['profile']
config = Flowgate::Config.from_yaml(profiles['yaml'])
profiles['cases'].each do |vector|
  begin
    profile = config.profile(vector['name'])
  rescue Flowgate::FlowgateError::ProfileError => error
    equal(error.code, vector['error'], vector['name'])
    next
  end
  equal(profile.render(profiles['secrets']), vector['rendered'], vector['name'])
  origins = profile.origins.map { |o| [o.path, o.layer, o.span.line] }
  equal(origins, vector['origins'], vector['name'])
end

guard = Flowgate::Guard.new
GUARD.each do |vector|
  place = Flowgate::Context.new(cwd: vector['cwd'], home: vector['home'])
  verdict = guard.check(vector['command'], place)
  equal(name_of(Flowgate::Decision, verdict.decision), vector['decision'], vector['name'])
  equal(verdict.rule, vector['rule'], vector['name'])
end

ACCOUNTS = JSON.parse(File.read("#{DATA}/accounts_vectors.json"))
NOW = 1_700_000_000_000

ACCOUNTS.each do |vector|
  transport = vector['transport']
  answer = Flowgate::ProviderAnswer.new(
    status: vector['status'], headers: vector['headers'], body: vector['body'],
    transport: transport && Flowgate::Transport.const_get(transport.upcase)
  )
  found = Flowgate.classify(vector['provider'], answer, NOW)
  equal(name_of(Flowgate::Class, found.kind), vector['class'], vector['name'])
  equal(found.cooldown_ms, vector['cooldown_ms'], vector['name'])
end

pool = Flowgate::Pool.new('[{"id": "a"}, {"id": "b"}]', NOW, '{"strategy": "fill_first", "jitter": false}')
first = pool.pick(NOW, 'm')
refused = Flowgate::ProviderAnswer.new(status: 429, headers: { 'retry-after' => '20' })
equal(pool.report(NOW, first.permit, refused).account, 'a', 'report')
equal(pool.pick(NOW, 'm').account, 'b', 'pick')

yaml = "config_version: 2\nservices: {a: {command: {args: [sleep, '9']}, readiness: {log: up}}}\n"
supervisor = Flowgate::Supervisor.new(Flowgate::Config.from_yaml(yaml).resolve('/srv'), 7)
spawn = supervisor.start(0, []).find { |action| action.effect.spawn? }
equal(JSON.parse(spawn.effect.spec)['command']['args'], %w[sleep 9], 'spawn')
supervisor.happened(1, 'a', spawn.generation, Flowgate::ProcessEvent::SPAWNED.new(pid: 5, started: 9))
ok = Flowgate::ProcessEvent::PROBE_OK.new(purpose: Flowgate::Purpose::READINESS, port_is_ours: false, port_owner: nil)
supervisor.happened(2, 'a', spawn.generation, ok)
equal(JSON.parse(supervisor.status)[0]['public'], 'running', 'ready')
supervisor.happened(50, 'a', spawn.generation, Flowgate::ProcessEvent::EXITED.new(code: 3, signal: nil, last_lines: ['oh']))
supervisor.happened(50, 'a', spawn.generation, Flowgate::ProcessEvent::TREE_EMPTY.new)
again = supervisor.tick(supervisor.next_deadline).find { |action| action.effect.spawn? }
equal(again.generation, spawn.generation + 1, 'again')
