import ClavigerWire

/// The generated blocks of the protocol page: what tables and vectors say, as Markdown.
enum ProtocolPage {
    /// The names of the blocks that the page must have.
    static let blocks = [
        "limits", "opcodes", "states", "settings", "messages", "refusals", "example-ping", "example-wrap", "example-unwrap",
        "example-refusal",
        "example-envelope", "example-context",
    ]

    /// The text that belongs between `<!-- begin NAME -->` and `<!-- end NAME -->`.
    static func block(_ name: String) throws -> String {
        switch name {
        case "limits": limits
        case "opcodes": opcodes
        case "states": states
        case "settings": settings
        case "messages": messages
        case "refusals": refusals
        case "example-ping": try example(["ping-request", "ping-reply"])
        case "example-wrap": try example(["wrap-request", "wrap-reply"])
        case "example-unwrap": try example(["unwrap-request-refresh", "unwrap-reply-refresh"])
        case "example-refusal": try annotated(Checkout.vector("refusals", "refusal-busy"))
        case "example-envelope": try envelope
        case "example-context": try contexts
        default: throw VectorError.noSuchFile(name)
        }
    }

    static func table(_ columns: [String], _ rows: [[String]]) -> String {
        let lines = [columns, columns.map { _ in "---" }] + rows
        return lines.map { "| " + $0.joined(separator: " | ") + " |" }.joined(separator: "\n")
    }

    static func code(_ text: some CustomStringConvertible) -> String { "`\(text)`" }

    private static func hexadecimal(_ number: UInt16) -> String { "`0x\(hex(bigEndian(number)))`" }

    // MARK: limits

    private static var limits: String {
        table(
            ["limit", "least", "most"],
            [
                ["length field of a frame", "\(Limits.minimumFrameLength)", "\(Limits.maximumFrameLength)"],
                ["whole frame that a daemon sends, bytes", "\(Limits.headerLength)", "\(Limits.maximumReplySize)"],
                ["items of one wrap, unwrap or rewrap", "1", "\(Limits.maximumItems)"],
                ["plaintext of one item, bytes", "\(Limits.minimumPlaintext)", "\(Limits.maximumPlaintext)"],
                ["plaintext of all items of a request, bytes", "", "\(Limits.maximumBatchPlaintext)"],
                ["generated DEK, bytes", "\(Limits.minimumGenerated)", "\(Limits.maximumGenerated)"],
                ["envelope, bytes", "\(Envelope.minimumLength)", "\(Envelope.maximumLength)"],
                ["text form of an envelope, bytes, newline included", "", "\(EnvelopeText.maximumLength)"],
                ["strings of one context", "0", "\(Limits.maximumContextStrings)"],
                ["one context string, Unicode scalars", "0", "\(Limits.maximumContextScalars)"],
                ["one context string, UTF-8 bytes", "0", "\(Limits.maximumContextStringBytes)"],
                ["all strings of one context, UTF-8 bytes", "0", "\(Limits.maximumContextBytes)"],
                ["name of a key, Unicode scalars", "\(Limits.minimumName)", "\(Limits.maximumName)"],
                ["description of a key, Unicode scalars", "\(Limits.minimumDescription)", "\(Limits.maximumDescription)"],
                ["tags of a key (a setting allows fewer)", "0", "\(Limits.maximumTags)"],
                ["tag, Unicode scalars", "0", "\(Limits.maximumTag)"],
                ["aliases of a key (a setting allows fewer)", "0", "\(Limits.maximumAliases)"],
                ["alias, characters", "\(Limits.minimumName)", "\(Limits.maximumName)"],
                ["id of a key ring, characters", "\(Limits.minimumRing)", "\(Limits.maximumRing)"],
                ["secret of a standard key, bytes", "1", "\(Limits.maximumPayload)"],
                ["life of an import token, seconds", "\(Limits.minimumImportTokenLife)", "\(Limits.maximumImportTokenLife)"],
                ["uses of an import token", "1", "\(Limits.maximumImportTokenUses)"],
                ["name of a registered resource, Unicode scalars", "1", "\(Limits.maximumResource)"],
                ["text of a reply or refusal, Unicode scalars", "0", "\(Limits.maximumMessage)"],
                ["PIN, bytes", "1", "\(Limits.maximumPIN)"],
                ["records of one page", "1", "\(Limits.maximumPage) (\(Limits.defaultPage) when not said)"],
                ["deadline, milliseconds (longer ones are cut)", "1", "\(Limits.maximumDeadline)"],
            ])
    }

    // MARK: opcodes and their messages

    private static var opcodes: String {
        table(
            ["number", "name", "what it does", "permission", "states of the key", "may a client repeat it by itself?"],
            Opcode.allCases.map { opcode in
                let entry = opcode.entry
                return [
                    hexadecimal(opcode.rawValue), code(entry.name), entry.summary, code(entry.permission.rawValue),
                    entry.keyStates.map(\.name).joined(separator: ", "), repetition(entry.retry),
                ]
            })
    }

    private static func repetition(_ rule: RetryRule) -> String {
        switch rule {
        case .always: "yes"
        case .withOperationID: "with the same operation id"
        case .never: "never"
        }
    }

    private static var messages: String {
        var seen: [String: String] = [:]
        return Opcode.allCases.map { opcode in
            let entry = opcode.entry
            let parts = [("request", "Request", entry.request), ("reply", "Reply", entry.reply)].map { part, title, entries in
                let shown = fields(entries)
                defer { if seen[shown] == nil { seen[shown] = "the \(part) of `\(entry.name)`" } }
                if entries.isEmpty { return "**\(title):** no fields; the body is empty." }
                if let earlier = seen[shown] { return "**\(title):** as \(earlier)." }
                return "**\(title):**\n\n\(shown)"
            }
            return "### \(entry.name), \(hexadecimal(opcode.rawValue))\n\n\(entry.summary)\n\n" + parts.joined(separator: "\n\n")
        }.joined(separator: "\n\n")
    }

    private static func fields(_ entries: [FieldEntry]) -> String {
        let rows = entries.map { entry in
            ["\(entry.tag)", code(entry.name), value(entry), entry.isRequired ? "yes" : "no", entry.meaning]
        }
        let lists = entries.compactMap { entry -> String? in
            guard case .list(_, let items) = entry.kind else { return nil }
            return "\n\nEach item of `\(entry.name)`:\n\n\(fields(items))"
        }
        return table(["tag", "name", "value", "required", "meaning"], rows) + lists.joined()
    }

    private static func value(_ entry: FieldEntry) -> String {
        let other = entry.sizeRefusal == .invalidValue ? "" : ", else `\(entry.sizeRefusal.name)`"
        switch entry.kind {
        case .u8(let range): return "u8" + bounds(range, isFree: range == 0...UInt8.max) + other
        case .u32(let range): return "u32" + bounds(range, isFree: range == 0...UInt32.max) + other
        case .u64: return "u64"
        case .id: return "id"
        case .text(let range): return "text" + bounds(range, isFree: false) + other
        case .word(let range): return "word" + bounds(range, isFree: false) + other
        case .texts(let count, let range):
            return "texts" + bounds(count, isFree: false) + other + "; each" + bounds(range, isFree: false).dropFirst()
        case .words(let count, let range):
            return "words" + bounds(count, isFree: false) + other + "; each" + bounds(range, isFree: false).dropFirst()
        case .bytes(let range): return "bytes" + bounds(range, isFree: false) + other
        case .context: return "context"
        case .list(let range, _): return "list" + bounds(range, isFree: false) + other
        }
    }

    private static func bounds<Number: Comparable>(_ range: ClosedRange<Number>, isFree: Bool) -> String {
        if isFree { return "" }
        return range.lowerBound == range.upperBound ? ", \(range.lowerBound)" : ", \(range.lowerBound) to \(range.upperBound)"
    }

    // MARK: refusals

    private static var refusals: String {
        table(
            ["number", "name", "HTTP", "Key Protect", "retryable", "message"],
            RefusalCode.allCases.map { refusal in
                let entry = refusal.entry
                return [
                    "\(refusal.rawValue)", code(entry.name), "\(entry.httpStatus)", entry.keyProtectCode.map(code) ?? "",
                    entry.isRetryable ? "yes" : "no", entry.message,
                ]
            })
    }

    // MARK: worked bytes

    private static func example(_ names: [String]) throws -> String {
        try names.map { try annotated(Checkout.vector("messages", $0)) }.joined(separator: "\n\n")
    }

    /// A frame taken apart: bytes to the left, what they are to the right.
    static func annotated(_ vector: Vector) throws -> String {
        let header = try vector.frameHeader
        let opcode = Opcode(rawValue: header.opcode)
        let entries = header.kind == .refusal ? Schema.refusal : opcode.map { WireTests.entries($0, header.kind) } ?? []
        let detail =
            switch header.kind {
            case .request: header.detail == 0 ? "deadline: the daemon's default" : "deadline: \(header.detail) ms"
            case .reply, .event: "always 0"
            case .refusal: "code \(RefusalCode(rawValue: header.detail)?.name ?? "")"
            }
        var dump = AnnotatedBytes()
        dump.add(bigEndian(UInt32(header.bodyLength + Limits.minimumFrameLength)), "length of what follows")
        dump.add([vector.frame[4]], "protocol version")
        dump.add([vector.frame[5]], "kind: \(header.kind)")
        dump.add(bigEndian(header.opcode), "opcode \(opcode?.entry.name ?? "")")
        dump.add(bigEndian(header.requestID), "request id")
        dump.add(bigEndian(header.detail), detail)
        dump.add(fields: vector.body[...], entries)
        return "\(vector["about"])\n\n```\n\(dump.lines.joined(separator: "\n"))\n```"
    }

    private static var envelope: String {
        get throws {
            let vector = try Checkout.vector("envelopes", "suite-1")
            let bytes = try vector.bytes("envelope")
            let parsed = try Envelope(bytes.span.bytes)
            let part = { (range: ByteRange) in Array(bytes[range.offset..<range.offset + range.count]) }
            var dump = AnnotatedBytes()
            dump.add(Array(bytes[0..<4]), "\"CLV\" and format 1")
            dump.add([bytes[4]], "suite")
            dump.add([bytes[5]], "flags")
            dump.add(Array(bytes[6..<22]), "key id \(vector["key-id"])")
            dump.add(Array(bytes[22..<26]), "key version")
            dump.add([bytes[26]], "length of the IV")
            dump.add(part(parsed.iv), "IV")
            dump.add(part(parsed.ciphertext), "C: 32 zero bytes and the DEK, encrypted")
            dump.add(part(parsed.tag), "T")
            return """
                The envelope of the examples: the root key is `\(vector["key"])`, the DEK `\(vector["plaintext"])`, the context \
                `\(vector["context"])`.

                ```
                \(dump.lines.joined(separator: "\n"))
                ```

                What it authenticates (A):

                ```
                \(AnnotatedBytes.wrapped(try vector.bytes("aad")).joined(separator: "\n"))
                ```

                Its text form:

                ```
                \(vector["text"])
                ```
                """
        }
    }

    private static var contexts: String {
        get throws {
            table(
                ["context", "encoding"],
                try Checkout.vectors("contexts").map { [code($0["strings"]), code($0["encoding"])] })
        }
    }
}

/// Lines of hexadecimal bytes with remarks to their right.
struct AnnotatedBytes {
    private(set) var lines: [String] = []
    /// Bytes of a line, so that it fits beside a remark.
    private static let perLine = 20

    /// The bytes, cut into lines.
    static func wrapped(_ bytes: some Collection<UInt8>) -> [String] {
        stride(from: 0, to: bytes.count, by: 32).map { hex(bytes.dropFirst($0).prefix(32)) }
    }

    mutating func add(_ bytes: some Collection<UInt8>, _ remark: String) {
        for start in stride(from: 0, to: max(bytes.count, 1), by: Self.perLine) {
            let digits = hex(bytes.dropFirst(start).prefix(Self.perLine))
            let padding = String(repeating: " ", count: Self.perLine * 2 - digits.count)
            lines.append(start == 0 && !remark.isEmpty ? "\(digits)\(padding)  \(remark)" : digits)
        }
    }

    mutating func add(fields body: ArraySlice<UInt8>, _ entries: [FieldEntry], depth: Int = 0) {
        let indent = String(repeating: "  ", count: depth)
        var rest = body
        while rest.count >= 6 {
            let tag = rest.prefix(2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
            let length = number(rest.dropFirst(2).prefix(4))
            let value = rest.dropFirst(6).prefix(length)
            let entry = entries.first { $0.tag == tag }
            add(rest.prefix(6), "\(indent)field \(tag), \(entry?.name ?? ""): \(size(length))")
            rest = rest.dropFirst(6 + length)
            guard case .list(_, let itemEntries) = entry?.kind else {
                let remark = remark(value, entry)
                if !value.isEmpty { add(value, remark.isEmpty ? "" : indent + remark) }
                continue
            }
            add(value.prefix(4), "\(indent)count of items: \(number(value.prefix(4)))")
            var items = value.dropFirst(4)
            while items.count >= 4 {
                let length = number(items.prefix(4))
                add(items.prefix(4), "\(indent)an item: \(size(length))")
                add(fields: items.dropFirst(4).prefix(length), itemEntries, depth: depth + 1)
                items = items.dropFirst(4 + length)
            }
        }
    }

    private func size(_ length: Int) -> String { length == 1 ? "1 byte" : "\(length) bytes" }

    private func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

    private func remark(_ value: ArraySlice<UInt8>, _ entry: FieldEntry?) -> String {
        guard let kind = entry?.kind else { return "" }
        switch kind {
        case .u8, .u32, .u64: return "\(number(value))"
        case .text, .word: return value.count > 40 ? "text" : "\"\(String(decoding: value, as: UTF8.self))\""
        case .context: return "1 string of 8 bytes: \"\(String(decoding: value.dropFirst(8), as: UTF8.self))\""
        case .id, .bytes, .list, .texts, .words: return ""
        }
    }
}
