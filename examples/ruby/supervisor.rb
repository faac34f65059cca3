# A supervisor in Ruby: the library decides what to do when a process ends, and this program does it. With the module
# that uniffi generates (see docs/uniffi.md):
#
#   ruby -I DIRECTORY_OF_FLOWGATE_RB examples/ruby/supervisor.rb
#
# The service fails twice, and works from then on. Real drivers also keep logs, hold ports and take processes over.

require 'json'
require 'tempfile'
require 'flowgate'

ATTEMPTS = Tempfile.new('attempts')
SCRIPT = "echo >> #{ATTEMPTS.path}; [ $(wc -l < #{ATTEMPTS.path}) -gt 2 ] && exec sleep 100; exit 3"

config = Flowgate::Config.from_yaml(JSON.generate(
  config_version: 2,
  services: {
    worker: {
      command: { args: ['sh', '-c', SCRIPT] },
      readiness: { alive: '100ms' },
      restart: { backoff: { initial: '10ms', jitter: 0 } }
    }
  }
)).resolve(Dir.pwd)

# Carries out what the machine says, and tells it what came of that.
class Driver
  def initialize(machine)
    @machine = machine
    @begun = clock
    @children = {} # process numbers, and which service and generation each is
    @timers = []   # when, and what happens then
  end

  def clock = Process.clock_gettime(Process::CLOCK_MONOTONIC, :millisecond)
  def now = clock - @begun

  def perform(actions)
    actions.each { |action| carry_out(action, action.effect) }
  end

  def happened(service, generation, event)
    perform(@machine.happened(now, service, generation, event))
  end

  def carry_out(action, effect)
    key = [action.service, action.generation]
    if effect.tell?
      puts effect.event if %w[service.ready service.exited].include?(effect.event)
    elsif effect.spawn?
      pid = Process.spawn(*JSON.parse(effect.spec)['command']['args'], pgroup: true)
      @children[pid] = key
      happened(*key, Flowgate::ProcessEvent::SPAWNED.new(pid: pid, started: now))
    elsif effect.start_probe?
      wait = JSON.parse(effect.probe)['alive']
      at = now + wait['secs'] * 1000 + wait['nanos'] / 1_000_000
      well = Flowgate::ProcessEvent::PROBE_OK.new(purpose: effect.purpose, port_is_ours: false, port_owner: nil)
      @timers << [at, key, well]
    elsif effect.stop_probe?
      @timers.reject! { |_, of, _| of == key }
    elsif effect.send_signal? || effect.sweep?
      signal = effect.signal == Flowgate::Signal::KILL ? 'KILL' : 'TERM'
      @children.each { |pid, of| Process.kill(signal, -pid) if of == key }
    end
  end

  # Waits for what comes next: the end of a process, or a moment.
  def turn
    until (pid, status = Process.wait2(-1, Process::WNOHANG) if @children.any?; pid)
      due, @timers = @timers.partition { |at, _, _| at <= now }
      return due.each { |_, key, event| happened(*key, event) } if due.any?

      deadline = @machine.next_deadline
      return perform(@machine.tick(now)) if deadline && deadline <= now

      sleep 0.002
    end
    key = @children.delete(pid)
    happened(*key, Flowgate::ProcessEvent::EXITED.new(code: status.exitstatus, signal: status.termsig, last_lines: []))
    happened(*key, Flowgate::ProcessEvent::TREE_EMPTY.new)
  end
end

machine = Flowgate::Supervisor.new(config, 42)
driver = Driver.new(machine)
driver.perform(machine.start(driver.now, []))
driver.turn until JSON.parse(machine.status)[0]['public'] == 'running'
# => service.exited
# => service.exited
# => service.ready
puts JSON.parse(machine.status)[0]['restarts'] # => 2
driver.perform(machine.shutdown(driver.now, false))
driver.turn until machine.is_finished
# => service.exited
