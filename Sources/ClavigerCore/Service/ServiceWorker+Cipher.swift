import ClavigerWire
import Cryptoki
import SecureMemory

// Wrap, unwrap, rewrap. An item's failure stands in its item; what is wrong with the request refuses it whole before the first.
extension ServiceWorker {
    /// After so many items of a batch others are let in.
    private static let turn = 8

    func wrap(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let request = try call.decode(WrapRequest.self)
        let body = call.body
        return try withToken { (snapshot, session) throws(Refusal) in
            let key = try authorisedKey(request.key, for: .wrap, of: call.caller, in: snapshot)
            try key.stored.require(.wrap, at: service.time.now())
            return try batch(request.items.count, call) { (index, writer) in
                let item = request.items[index]
                do throws(Refusal) {
                    let context = context(item.context, body)
                    record.note(context: context)
                    try requireContext(context, .wrap, key, of: call.caller)
                    try seal(item.input, context, key, session, body, &writer)
                    record.note(key: key.id, version: key.current.number)
                } catch {
                    record.note(key: key.id, version: key.current.number, code: error.code)
                    refuse(error, &writer)
                }
            }
        }
    }

    func unwrap(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let request = try call.decode(UnwrapRequest.self)
        let body = call.body
        return try withToken { (snapshot, session) throws(Refusal) in
            let expected = try request.key.map { (reference) throws(Refusal) in
                try authorisedKey(reference, for: .unwrap, of: call.caller, in: snapshot).id
            }
            return try batch(request.items.count, call) { (index, writer) in
                let item = request.items[index]
                var use: (KeyID, UInt32)?
                do throws(Refusal) {
                    let context = context(item.context, body)
                    record.note(context: context)
                    let target = try locate(item, context, .unwrap, .unwrap, expected, snapshot, call, &use)
                    let isStale = target.envelope.version < target.key.current.number
                    let mayRefresh =
                        isStale && request.refresh
                        && call.access.allows(.wrap, on: target.key.target, context: context)
                    var isRefreshed = false
                    let refreshes = mayRefresh && target.key.stored.allows(.wrap, at: service.time.now(), snapshot.settings)
                    try open(target, item, context, session, body) { plaintext throws(Refusal) in
                        // What cannot be refreshed is still unwrapped; the reply says that it is stale.
                        let fresh = refreshes ? try? reseal(plaintext, context, target.key, session) : nil
                        writer.u32(1, 0)
                        writer.id(3, target.key.id)
                        writer.u32(4, target.envelope.version)
                        if let fresh {
                            writer.bytes(5, fresh)
                            writer.u32(6, target.key.current.number)
                        }
                        writer.bytes(7, plaintext.bytes)
                        writer.u8(8, isStale ? 1 : 0)
                        isRefreshed = fresh != nil
                    }
                    record.note(
                        key: target.key.id, version: target.envelope.version,
                        fresh: isRefreshed ? target.key.current.number : nil)
                } catch {
                    record.note(key: use?.0, version: use?.1, code: error.code)
                    refuse(error, &writer)
                }
            }
        }
    }

    func rewrap(_ call: Call, _ record: inout RequestRecord) throws(Refusal) -> Int {
        let request = try call.decode(RewrapRequest.self)
        let body = call.body
        return try withToken { (snapshot, session) throws(Refusal) in
            let expected = try request.key.map { (reference) throws(Refusal) in
                try authorisedKey(reference, for: .rewrap, of: call.caller, in: snapshot).id
            }
            return try batch(request.items.count, call) { (index, writer) in
                let item = request.items[index]
                var use: (KeyID, UInt32)?
                do throws(Refusal) {
                    let context = context(item.context, body)
                    record.note(context: context)
                    let target = try locate(item, context, .rewrap, .rewrap, expected, snapshot, call, &use)
                    try renew(target, item, context, session, body) { fresh in
                        writer.u32(1, 0)
                        writer.id(3, target.key.id)
                        writer.u32(4, target.envelope.version)
                        writer.bytes(5, fresh)
                        writer.u32(6, target.key.current.number)
                    }
                    record.note(
                        key: target.key.id, version: target.envelope.version, fresh: target.key.current.number)
                } catch {
                    record.note(key: use?.0, version: use?.1, code: error.code)
                    refuse(error, &writer)
                }
            }
        }
    }

    // MARK: one item

    /// The key and envelope of an item to be opened.
    struct Target {
        let key: KeyEntry
        let envelope: Envelope
    }

    private func locate(
        _ item: OpenItem, _ context: [UInt8], _ permission: Permission, _ action: KeyAction, _ expected: KeyID?,
        _ snapshot: Snapshot, _ call: Call, _ use: inout (KeyID, UInt32)?
    ) throws(Refusal) -> Target {
        let envelope = try Envelope(call.body.bytes.part(item.envelope))
        // For the record: it says what was asked for, also when it is denied.
        use = (envelope.keyID, envelope.version)
        if let expected, envelope.keyID != expected {
            throw Refusal(.keyMismatch, "the envelope was made by key \(envelope.keyID), not by \(expected)")
        }
        let key = try authorisedKey(.id(envelope.keyID), for: permission, of: call.caller, in: snapshot)
        try requireContext(context, permission, key, of: call.caller)
        try key.stored.require(action, at: service.time.now())
        // The envelope names its version in the clear, so a caller who may use the key is told of it without asking the token.
        if let version = key.version(envelope.version) { try key.requireInUse(version) }
        return Target(key: key, envelope: envelope)
    }

    private func context(_ range: ByteRange?, _ body: UnsafeRawBufferPointer) -> [UInt8] {
        range.map { body.bytes.part($0).array() } ?? Context.empty
    }

    private func refuse(_ refusal: Refusal, _ writer: inout BodyWriter) {
        writer.u32(1, refusal.code.rawValue)
        writer.text(2, refusal.message)
    }

    /// Seals an item's input under the key's newest version and writes the item's reply.
    private func seal(
        _ input: WrapInput, _ context: [UInt8], _ key: KeyEntry, _ session: TokenSession, _ body: UnsafeRawBufferPointer,
        _ writer: inout BodyWriter
    ) throws(Refusal) {
        let version = key.current
        switch input {
        case .given(let range):
            let source = UnsafeRawBufferPointer(rebasing: body[range.offset..<range.offset + range.count])
            let envelope = try seal(.given(count: range.count, copy: { $0.copyMemory(from: source) }), context, key, session)
            writer.u32(1, 0)
            writer.id(3, key.id)
            writer.u32(4, version.number)
            writer.bytes(5, envelope)
        case .generated(let count):
            try checkLength(count, key)
            let mark = writer.count
            do throws(Refusal) {
                writer.u32(1, 0)
                writer.id(3, key.id)
                writer.u32(4, version.number)
                // The DEK goes from the worker's scratch straight into its place in the reply, locked memory both.
                guard let place = writer.reserve(5, Envelope.length(version.suite, plaintext: count)),
                    let plaintext = writer.reserve(7, count)
                else { throw Refusal(.internalError, "the answer does not fit a frame") }
                place.copyBytes(
                    from: try seal(
                        .generated(count: count, show: { plaintext.copyMemory(from: $0) }), context, key, session))
            } catch {
                writer.rewind(to: mark)
                throw error
            }
        case .sealed(let count):
            let envelope = try generateSealed(count, context, key, session)
            writer.u32(1, 0)
            writer.id(3, key.id)
            writer.u32(4, version.number)
            writer.bytes(5, envelope)
        }
    }

    /// Makes the envelope of an item anew under the key's newest version, inside the token where the suites let it, and gives it to `use`.
    private func renew(
        _ target: Target, _ item: OpenItem, _ context: [UInt8], _ session: TokenSession, _ body: UnsafeRawBufferPointer,
        use: ([UInt8]) -> Void
    ) throws(Refusal) {
        if let fresh = try rewrapInside(target, item, context, session, body) { return use(fresh) }
        try open(target, item, context, session, body) { plaintext throws(Refusal) in
            use(try reseal(plaintext, context, target.key, session))
        }
    }

    private func reseal(
        _ plaintext: UnsafeRawBufferPointer, _ context: [UInt8], _ key: KeyEntry, _ session: TokenSession
    ) throws(Refusal) -> [UInt8] {
        try seal(.given(count: plaintext.count, copy: { $0.copyMemory(from: plaintext) }), context, key, session)
    }

    /// Refuses a plaintext that the suite of the key's newest version has no room for.
    private func checkLength(_ count: Int, _ key: KeyEntry) throws(Refusal) {
        let suite = key.current.suite
        let most = suite == .aesKeyWrapWithHMAC ? service.token.configuration.quirks.keyWrapLimit : Limits.maximumPlaintext
        guard suite.allows(plaintextLength: count), count <= most else {
            throw Refusal(
                .plaintextSize,
                "key \(key.id) wraps with \(suite.name), which takes 16 to \(most) bytes of plaintext here, a multiple of 8")
        }
    }

    /// Seals under the key's newest version; the envelope is no secret, so it may lie in an array.
    private func seal(
        _ input: SealInput, _ context: [UInt8], _ key: KeyEntry, _ session: TokenSession
    ) throws(Refusal) -> [UInt8] {
        let header = Envelope.header(suite: key.current.suite, keyID: key.id, version: key.current.number)
        return try makeEnvelope(of: input.count, key, session) { (handles, live, scratch, output) throws(CryptokiError) in
            try SuiteCipher.seal(
                input, label: .wrap, header: header, context: context.span.bytes, handles: handles, session: &live,
                scratch: &scratch, into: output)
        }
    }

    /// Has `body` write an envelope of `count` bytes of plaintext with the key's newest version, and counts it.
    ///
    /// - Parameter blaming: which version an error is about, and what it was used for; nil is the newest one, for sealing.
    func makeEnvelope(
        of count: Int, _ key: KeyEntry, _ session: TokenSession, blaming: (() -> (VersionEntry, CipherUse))? = nil,
        _ body: (SuiteHandles, inout Session, inout CipherScratch, UnsafeMutableRawBufferPointer) throws(CryptokiError) -> Int
    ) throws(Refusal) -> [UInt8] {
        let version = key.current
        try checkLength(count, key)
        guard let handles = version.handles else {
            service.token.wantRefind()
            throw Refusal(.keyUnavailable, retryAfter: 5_000)
        }
        if try reserveWrap(of: key) {
            if key.stored.isImported {
                service.token.warnOfWrapLimit(of: key)
            } else {
                service.token.wantRotation(of: key.id)
            }
        }
        let length = Envelope.length(version.suite, plaintext: count)
        var envelope = [UInt8](repeating: 0, count: length)
        let blamed = blaming ?? { (version, .sealing) }
        try service.token.retrying(key, session, blaming: blamed) { (live, scratch) throws(CryptokiError) in
            var failure: CryptokiError?
            var written = 0
            envelope.withUnsafeMutableBytes { output in
                do throws(CryptokiError) {
                    written = try body(handles, &live, &scratch, output)
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
            guard written == length else { throw .malformedReply(.encrypt) }
        }
        if version.use.noteWrap(at: service.time.now()) { service.ledger.alarm.setForUses() }
        return envelope
    }

    /// Takes one encryption out of the newest version's budget.
    ///
    /// - Returns: whether the key is to be rotated by now.
    private func reserveWrap(of key: KeyEntry) throws(Refusal) -> Bool {
        let version = key.current
        do throws(Refusal) {
            return try version.counter.take { (reserved) throws(Refusal) in
                try mapping({ (_: StoreError) in Refusal(.storeUnavailable, retryAfter: 1_000) }) { () throws(StoreError) in
                    try service.store.reserveWraps(key.id, version.number, upTo: reserved)
                }
            }
        } catch {
            guard error.code == .wrapLimit, key.stored.isImported else { throw error }
            throw Refusal(
                .wrapLimit,
                "version \(version.number) of key \(key.id) has wrapped as often as is safe, and the key was imported: "
                    + "rotate it with new material")
        }
    }

    /// Opens an item's envelope and gives its plaintext, in locked memory, to `show`.
    private func open(
        _ target: Target, _ item: OpenItem, _ context: [UInt8], _ session: TokenSession, _ body: UnsafeRawBufferPointer,
        show: (UnsafeRawBufferPointer) throws(Refusal) -> Void
    ) throws(Refusal) {
        // One and the same refusal for everything that can be wrong from here on.
        guard let version = target.key.version(target.envelope.version), version.suite == target.envelope.suite else {
            throw Refusal(.decryptionFailed)
        }
        guard let handles = version.handles else {
            service.token.wantRefind()
            throw Refusal(.keyUnavailable, retryAfter: 5_000)
        }
        let header = Envelope.header(suite: version.suite, keyID: target.key.id, version: version.number)
        var refused: Refusal?
        var count = 0
        let use: CipherUse = version.suite.tokenJudgesEnvelopes ? .opening : .openingBehindMAC
        try service.token.retrying(target.key, version, session, use) {
            (live, scratch) throws(CryptokiError) in
            do throws(OpenFailure) {
                count = try SuiteCipher.open(
                    target.envelope, of: body.bytes.part(item.envelope), label: .wrap, header: header,
                    context: context.span.bytes, handles: handles, session: &live, scratch: &scratch
                ) { session.hold($0) }
            } catch {
                switch error {
                case .forged: refused = Refusal(.decryptionFailed)
                case .token(let cause): throw cause
                }
            }
        }
        if let refused { throw refused }
        defer { session.wipeHeld() }
        if version.use.noteUnwrap(at: service.time.now()) { service.ledger.alarm.setForUses() }
        try show(session.held(count))
    }

    // MARK: a batch

    /// Writes a reply of `count` items, letting others in between them.
    private func batch(
        _ count: Int, _ call: Call, _ item: (Int, inout BodyWriter) -> Void
    ) throws(Refusal) -> Int {
        var writer = BodyWriter(call.answer.body)
        try writer.list(1, count: count) { (index, writer) throws(Refusal) in
            if index > 0 && index % ServiceWorker.turn == 0 {
                guard !call.scheduling.isAbandoned else { throw Refusal(.deadline) }
                call.scheduling.letOthersIn()
            }
            item(index, &writer)
        }
        guard writer.isComplete else { throw Refusal(.internalError, "the answer does not fit a frame") }
        return call.answer.finish(bodyLength: writer.count)
    }
}
