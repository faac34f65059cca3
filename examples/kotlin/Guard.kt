// The guard, a pool and a profile from Kotlin, with the package that uniffi generates (see docs/uniffi.md):
//
//   kotlinc examples/kotlin/Guard.kt flowgate.kt -include-runtime -classpath jna.jar -d guard.jar
//   java -classpath guard.jar:jna.jar -Djna.library.path=DIRECTORY_OF_THE_LIBRARY GuardKt

import flowgate.Config
import flowgate.Context
import flowgate.Decision
import flowgate.FlowgateException
import flowgate.Guard
import flowgate.Pick
import flowgate.Pool
import flowgate.ProviderAnswer
import flowgate.starter

fun main() {
    val place = Context(cwd = "/home/dev/project", home = "/home/dev")
    Guard().use { guard ->
        val verdict = guard.check("X=/; sudo rm -rf \$X", place)
        println(verdict.decision == Decision.DENY) // => true
        println(verdict.rule) // => core.filesystem:rm-root
        println(guard.check("git commit -m 'never rm -rf /'", place).decision) // => ALLOW
    }

    val now = 1_700_000_000_000UL // milliseconds since 1970: the pool does not ask for the time
    val keys = """[{"id": "work-1", "provider": "openai"}, {"id": "work-2", "provider": "openai"}]"""
    Pool(keys, now, """{"strategy": "fill_first"}""").use { pool ->
        val first = pool.pick(now, model = "gpt-5") as Pick.Use
        val verdict = pool.report(now, first.permit, ProviderAnswer(429u, mapOf("retry-after" to "20")))
        println("${verdict.kind} ${verdict.account} ${verdict.action}") // => RATE work-1 NEXT
        println((pool.pick(now, model = "gpt-5") as Pick.Use).account) // => work-2
    }

    val config = Config.fromYaml(starter())
    println(config.profiles()) // => [balanced, cost, reliability]
    println(config.profile("balanced").origins().first().layer) // => litellm_base

    try {
        Config.fromYaml("config_version: 2\nprofile: {}\n")
    } catch (error: FlowgateException.ConfigException) {
        val problem = error.diagnostics.first()
        println("${problem.span.line}: ${problem.message}; ${problem.hint}") // => 2: unknown key `profile`; did you mean `profiles`?
    }
}
