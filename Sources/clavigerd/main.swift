import Glibc

// Everything is formed in nonisolated functions: a closure made here would belong to the main actor.
exit(Launch.run(CommandLine.arguments))
