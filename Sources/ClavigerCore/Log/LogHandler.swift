import Logging
import Synchronization

/// swift-log's handler of the daemon: `message name=value ...` on standard error, with the priority that journald understands.
package struct LineLogHandler: LogHandler {
    package var metadata: Logger.Metadata = [:]

    /// The least severity that is written, of all loggers alike: a reload changes it while they are in use.
    package var logLevel: Logger.Level {
        get { Logger.Level.allCases[LineLogHandler.threshold.load(ordering: .relaxed)] }
        set { LineLogHandler.setLevel(newValue) }
    }

    private static let threshold = Atomic(Logger.Level.allCases.firstIndex(of: .info) ?? 0)

    /// Sets the least severity that is written.
    package static func setLevel(_ level: Logger.Level) {
        threshold.store(Logger.Level.allCases.firstIndex(of: level) ?? 0, ordering: .relaxed)
    }

    package init() {}

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var text = "\(event.message)"
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        for (name, value) in all.sorted(by: { $0.key < $1.key }) { text += " \(name)=\(LogLine.quoted("\(value)"))" }
        LogLine.write(LineLogHandler.priority(event.level), text)
    }

    private static func priority(_ level: Logger.Level) -> LogLine.Priority {
        switch level {
        case .trace, .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error, .critical: .error
        }
    }
}

extension Configuration.LogLevel {
    /// The same severity in swift-log's words.
    package var level: Logger.Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .notice: .notice
        case .warning: .warning
        case .error: .error
        }
    }
}
