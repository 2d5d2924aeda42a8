import ArgumentParser
import ClavigerClient

/// Makes many envelopes anew, a batch with each request, and keeps count.
final class BulkRewrap {
    /// What became of one envelope.
    enum Outcome {
        /// It was made anew: these are the bytes.
        case rewrapped([UInt8])
        /// Its key has no newer version.
        case current
        /// It could not be, and stays as it is.
        case failed(CommandFailure)
    }

    let options: GlobalOptions
    private let key: KeyReference?
    private let client: Client
    // What the daemon has said of each key so far; an envelope of that version is left alone.
    private var newest: [KeyID: UInt32] = [:]
    private var progress: BulkProgress
    private(set) var summary = Summary()

    init(options: GlobalOptions, key: KeyReference?) {
        self.options = options
        self.key = key
        client = Client(options.clientOptions)
        progress = BulkProgress(isShown: StandardError.isTerminal && !options.json)
    }

    /// The counts and failures of a run.
    struct Summary: Encodable {
        var rewrapped = 0
        var current = 0
        var failed: [Failure] = []

        struct Failure: Encodable {
            /// The file, or the line of the stream.
            var file: String
            var code: String?
            var message: String
        }

        var text: String { "\(rewrapped) rewrapped, \(current) current already, \(failed.count) failed" }
    }

    /// Makes the envelopes of one batch anew; an outcome for each, in their order.
    ///
    /// - Throws: what stops the whole run: a daemon that is away, or a request that is refused whole.
    func rewrap(_ items: [SealedItem]) throws(CommandFailure) -> [Outcome] {
        var outcomes = [Outcome](repeating: .current, count: items.count)
        let asked = items.indices.filter { !isCurrent(items[$0]) }
        guard !asked.isEmpty else { return outcomes }
        let results: [Result<Rewrapped, ServerRefusal>]
        do throws(ClientError) {
            results = try client.rewrap(asked.map { items[$0] }, key: key)
        } catch {
            throw CommandFailure(error, key: key?.description)
        }
        for (index, result) in zip(asked, results) {
            switch result {
            case .success(let made):
                newest[made.wrapped.key] = max(newest[made.wrapped.key] ?? 0, made.wrapped.version)
                // One of the newest version was made anew too, for nothing: it keeps its bytes.
                outcomes[index] = made.previousVersion == made.wrapped.version ? .current : .rewrapped(made.wrapped.envelope)
            case .failure(let refusal): outcomes[index] = .failed(CommandFailure(.refused(refusal), key: nil))
            }
        }
        return outcomes
    }

    private func isCurrent(_ item: SealedItem) -> Bool {
        guard let envelope = try? Envelope(item.envelope.span.bytes), let known = newest[envelope.keyID] else { return false }
        return envelope.version >= known
    }

    // MARK: what is said

    /// Counts an envelope that is done with.
    func count(_ outcome: Outcome, of name: @autoclosure () -> String) {
        switch outcome {
        case .rewrapped: summary.rewrapped += 1
        case .current: summary.current += 1
        case .failed(let failure): fail(name(), failure)
        }
    }

    /// Counts one that failed, and says so.
    func fail(_ name: String, _ failure: CommandFailure) {
        summary.failed.append(Summary.Failure(file: name, code: failure.code, message: failure.message))
        progress.clear()
        if !options.json { StandardError.print("claviger: \(Text.safe(name)): \(Text.safe(failure.message))") }
    }

    /// Shows how far it is, where somebody watches.
    func show(of total: Int?) {
        let done = summary.rewrapped + summary.current + summary.failed.count
        progress.show("rewrap: \(done)\(total.map { " of \($0)" } ?? "") done, \(summary.failed.count) failed")
    }

    /// Ends the run: says what was done, and fails when something was not.
    func finish(onStandardError: Bool) throws {
        progress.clear()
        let line = options.json ? JSON.encode(summary) : summary.text
        if onStandardError {
            StandardError.print(options.json ? line : "claviger: \(line)")
        } else {
            try StandardOutput.print(line)
        }
        if !summary.failed.isEmpty { throw ExitCode(ExitStatus.refused.rawValue) }
    }

    /// Says how far it came before `failure` stopped it.
    func stop(_ failure: CommandFailure) -> CommandFailure {
        progress.clear()
        if !options.json { StandardError.note("\(summary.text) before it stopped; run it again to go on") }
        return failure
    }
}

/// One line on the terminal that is written over and over.
private struct BulkProgress {
    let isShown: Bool
    private var isDirty = false

    init(isShown: Bool) { self.isShown = isShown }

    mutating func show(_ text: String) {
        guard isShown else { return }
        StandardError.write("\r\(text)\u{1b}[K")
        isDirty = true
    }

    mutating func clear() {
        guard isDirty else { return }
        StandardError.write("\r\u{1b}[K")
        isDirty = false
    }
}

/// Gathers envelopes until a request is full.
struct RewrapBatch<Source> {
    private(set) var sources: [Source] = []
    private(set) var items: [SealedItem] = []
    private var envelopeBytes = 0
    private var contextBytes = 0

    /// Whether another item still fits with certainty: the plaintext of an envelope is shorter than the envelope, and with the
    /// greatest context added the frame stays below its bound.
    var isFull: Bool {
        items.count == Limits.maximumItems || envelopeBytes + Envelope.maximumLength > Limits.maximumBatchPlaintext
            || contextBytes > Limits.maximumBatchPlaintext
    }

    mutating func add(_ source: Source, _ item: SealedItem) {
        sources.append(source)
        items.append(item)
        envelopeBytes += item.envelope.count
        contextBytes += item.context.reduce(0) { $0 + $1.utf8.count + 4 }
    }
}
