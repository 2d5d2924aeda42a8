import ClavigerWire
import Cryptoki
import Synchronization

// The metrics reply: OpenMetrics 1.0 text, so that a scraper can be handed it as it is.
extension Service {
    /// All figures, a family after another.
    ///
    /// - Parameter keys: how many keys the caller may see and how many of their versions are unusable; nil for a stranger, whom nothing
    ///   tells that there are any.
    func metrics(keys: KeyFigures?) -> String {
        var text = MetricsText()
        let health = health
        text.family("claviger_state", "stateset", "What the daemon can do now.")
        for state in DaemonState.allCases {
            text.sample("claviger_state", ["claviger_state": state.name], state == health.state ? 1 : 0)
        }
        text.info("claviger_build", "The daemon's version.", ["version": Service.version])
        text.gauge("claviger_uptime_seconds", "Since when it runs.", (Clock.monotonic() - started) / 1_000_000_000)
        addToken(&text)
        if let keys {
            text.gauge("claviger_keys", "Keys that the caller may see, deleted ones included.", UInt64(keys.count))
            text.gauge("claviger_key_versions_unusable", "Their versions without a usable object.", UInt64(keys.unusable))
            text.gauge(
                "claviger_module_objects", "Objects made since the module was initialised.", UInt64(max(0, ObjectTally.count)))
        }
        addServer(&text)
        text.family("claviger_requests", "counter", "Requests by operation and outcome.")
        for (outcome, count) in requests.all {
            text.sample(
                "claviger_requests_total",
                ["operation": outcome.opcode.entry.name, "outcome": outcome.refusal?.name ?? "success"], count)
        }
        return text.finished
    }

    private func addToken(_ text: inout MetricsText) {
        let counters = token.counters
        text.gauge("claviger_token_generation", "How often the token was taken hold of.", snapshots.current.generation)
        text.counter("claviger_token_attached", "Successful attempts to take hold.", counters.attached.load(ordering: .relaxed))
        text.counter("claviger_token_failed", "Failed attempts to take hold.", counters.failed.load(ordering: .relaxed))
        text.counter("claviger_token_lost", "Times the token went away.", counters.lost.load(ordering: .relaxed))
        text.counter(
            "claviger_token_recycled", "New initialisations for the module's memory.", counters.recycled.load(ordering: .relaxed))
        text.counter(
            "claviger_token_probed", "Known answers asked for after a failure.", counters.probed.load(ordering: .relaxed))
        text.counter(
            "claviger_token_files_restored", "Token files put back from their copies.", counters.restored.load(ordering: .relaxed)
        )
        text.gauge(
            "claviger_token_files_damaged", "Files in the token's storage that are not whole.",
            UInt64(max(0, counters.damagedFiles.load(ordering: .relaxed))))
        text.gauge(
            "claviger_token_objects_quarantined", "Objects of ours that no record speaks of.", UInt64(token.quarantinedCount))
    }

    private func addServer(_ text: inout MetricsText) {
        guard let figures else { return }
        text.gauge("claviger_workers", "Workers that enter the token.", UInt64(figures.workers))
        text.gauge("claviger_workers_stuck", "Workers that have not come back from the token.", UInt64(max(0, figures.stuck)))
        text.counter("claviger_workers_replaced", "Stuck workers that another took the place of.", figures.replaced)
        text.gauge("claviger_connections", "Open connections.", UInt64(max(0, figures.connections)))
        text.gauge("claviger_requests_queued", "Requests that wait for a worker.", UInt64(max(0, figures.queued)))
        text.counter("claviger_answers", "Requests answered.", figures.requests)
    }
}

/// What the metrics say of keys.
struct KeyFigures: Equatable {
    var count: Int
    var unusable: Int
}

/// OpenMetrics text in the making.
struct MetricsText {
    private var lines: [String] = []

    /// Begins a family of samples.
    mutating func family(_ name: String, _ type: String, _ help: String) {
        lines.append("# TYPE \(name) \(type)")
        lines.append("# HELP \(name) \(help)")
    }

    /// One sample. Values of labels are words of ours: nothing of a caller's making stands in the metrics.
    mutating func sample(_ name: String, _ labels: KeyValuePairs<String, String>, _ value: UInt64) {
        let list = labels.map { "\($0.key)=\"\($0.value)\"" }.joined(separator: ",")
        lines.append(list.isEmpty ? "\(name) \(value)" : "\(name){\(list)} \(value)")
    }

    mutating func gauge(_ name: String, _ help: String, _ value: UInt64) {
        family(name, "gauge", help)
        sample(name, [:], value)
    }

    mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
        family(name, "counter", help)
        sample(name + "_total", [:], value)
    }

    mutating func info(_ name: String, _ help: String, _ labels: KeyValuePairs<String, String>) {
        family(name, "info", help)
        sample(name + "_info", labels, 1)
    }

    /// The whole text; cut at a line's end where it would not fit a reply.
    var finished: String {
        var text = ""
        for line in lines where text.utf8.count + line.utf8.count + 7 <= Limits.maximumMetrics { text += line + "\n" }
        return text + "# EOF\n"
    }
}
