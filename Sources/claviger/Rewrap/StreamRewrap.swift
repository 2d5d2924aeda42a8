import ClavigerClient
import Glibc

/// Makes a stream of envelopes anew, from stdin to stdout, a line each.
struct StreamRewrap {
    let bulk: BulkRewrap
    let context: [String]

    /// The greatest line: an envelope in text form, and the greatest context with a tab before each string.
    private static let maximumLine = EnvelopeText.maximumLength + Limits.maximumContextBytes + Limits.maximumContextStrings

    /// One line: what is written in its place, unless a new envelope is.
    private struct Line {
        let number: Int
        let text: String
        /// What follows the envelope.
        let rest: Substring
    }

    func run() throws {
        guard isatty(STDIN_FILENO) == 0 else {
            throw CommandFailure.usage("the envelopes are read from stdin, which is a terminal", "pipe them in")
        }
        do throws(CommandFailure) {
            var lines = LineReader(maximum: StreamRewrap.maximumLine)
            var batch = RewrapBatch<Line>()
            // Lines that hold no envelope keep their place in the stream.
            var waiting: [(text: String, isEnvelope: Bool)] = []
            var number = 0
            while let text = try lines.next() {
                number += 1
                waiting.append((text, add(text, number, to: &batch)))
                if batch.isFull || waiting.count == Limits.maximumItems { try flush(&batch, &waiting) }
            }
            try flush(&batch, &waiting)
        } catch {
            throw bulk.stop(error)
        }
        try bulk.finish(onStandardError: true)
    }

    /// Takes the line's envelope up; false when there is none to be made anew.
    private func add(_ text: String, _ number: Int, to batch: inout RewrapBatch<Line>) -> Bool {
        let envelopeText = text.prefix { $0 != "\t" }
        let rest = text[envelopeText.endIndex...]
        guard !text.isEmpty else { return false }
        do throws(Refusal) {
            let envelope = try EnvelopeText.decode(Array(envelopeText.utf8).span.bytes)
            _ = try Envelope(envelope.span.bytes)
            let own = rest.dropFirst().split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            let item = SealedItem(envelope, context: rest.isEmpty ? context : own)
            _ = try Context.encode(item.context)
            batch.add(Line(number: number, text: text, rest: rest), item)
            return true
        } catch {
            bulk.fail("line \(number)", CommandFailure(error))
            return false
        }
    }

    private func flush(
        _ batch: inout RewrapBatch<Line>, _ waiting: inout [(text: String, isEnvelope: Bool)]
    ) throws(CommandFailure) {
        var made = zip(batch.sources, batch.items.isEmpty ? [] : try bulk.rewrap(batch.items)).makeIterator()
        var output = ""
        for (text, isEnvelope) in waiting {
            guard isEnvelope, let (line, outcome) = made.next() else {
                output += text + "\n"
                continue
            }
            if case .rewrapped(let envelope) = outcome {
                output += EnvelopeText.encode(envelope.span.bytes) + line.rest + "\n"
            } else {
                output += line.text + "\n"
            }
            bulk.count(outcome, of: "line \(line.number)")
        }
        batch = RewrapBatch()
        waiting = []
        try StandardOutput.write(Array(output.utf8).span.bytes)
        bulk.show(of: nil)
    }
}

/// The lines of stdin, none longer than a bound.
private struct LineReader {
    let maximum: Int
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    private var number = 0

    init(maximum: Int) { self.maximum = maximum }

    /// The next line without its end; nil at the end of the input.
    mutating func next() throws(CommandFailure) -> String? {
        number += 1
        while true {
            if let end = buffer[start...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { start = end + 1 }
                return try text(buffer[start..<end])
            }
            guard buffer.count - start <= maximum else { throw tooLong }
            if isAtEnd {
                guard start < buffer.count else { return nil }
                defer { start = buffer.count }
                return try text(buffer[start...])
            }
            try fill()
        }
    }

    private var tooLong: CommandFailure {
        .failed("line \(number) of stdin is longer than \(maximum) bytes", "give one envelope a line, in its text form")
    }

    private func text(_ bytes: ArraySlice<UInt8>) throws(CommandFailure) -> String {
        guard bytes.count <= maximum else { throw tooLong }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .failed("line \(number) of stdin is not UTF-8", "give one envelope a line, in its text form")
        }
        return text
    }

    private mutating func fill() throws(CommandFailure) {
        buffer.removeSubrange(..<start)
        start = 0
        var part = [UInt8](repeating: 0, count: 64 << 10)
        let count = part.withUnsafeMutableBytes { read(STDIN_FILENO, $0.baseAddress, $0.count) }
        if count < 0 {
            if errno == EINTR { return }
            throw .failed("cannot read stdin: \(systemError(errno))")
        }
        isAtEnd = count == 0
        buffer += part[..<count]
    }
}
