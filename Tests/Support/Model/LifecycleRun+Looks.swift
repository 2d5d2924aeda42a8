import ClavigerWire

// Use of keys, and what is shown and listed.
extension LifecycleRun {
    func wrap() throws {
        let reference = reference { $0.kind == .root }
        let plaintext = (0..<number(1...40)).map { _ in UInt8.random(in: .min ... .max, using: &random) }
        let item = WrapItem(input: .given(ByteRange(offset: 0, count: plaintext.count)))
        let answer = try target.ask(
            .wrap, WrapRequest(key: reference, items: [item]), source: plaintext, as: persons[0])
        note("wrap under \(reference)")
        let foreseen = foresee { () throws(ModelRefusal) in
            (try model.wrap(reference, at: now), try model.resolve(reference).id)
        }
        switch foreseen {
        case .success(let (version, key)):
            guard let (item, body) = try cipherItem(answer), item.code == 0, let range = item.envelope, item.version == version,
                item.key == key
            else { throw difference(.wrap, "\(answer)", "version \(version)") }
            envelopes.append((Array(body[range.offset..<range.offset + range.count]), key, version, plaintext))
            count("wrap", nil)
        case .failure(let refusal): try expect(refusal.code, .wrap, answer)
        }
    }

    func unwrap() throws {
        guard let envelope = pick(envelopes) else { return }
        let item = OpenItem(envelope: ByteRange(offset: 0, count: envelope.bytes.count))
        let answer = try target.ask(
            .unwrap, UnwrapRequest(key: nil, items: [item]), source: envelope.bytes, as: persons[0])
        note("unwrap version \(envelope.version) of \(envelope.key)")
        switch foresee({ () throws(ModelRefusal) in try model.unwrap(envelope.key, envelope.version, at: now) }) {
        case .success:
            guard let (item, body) = try cipherItem(answer), item.code == 0, let range = item.plaintext,
                Array(body[range.offset..<range.offset + range.count]) == envelope.plaintext
            else { throw difference(.unwrap, "\(answer)", "the plaintext") }
            count("unwrap", nil)
        case .failure(let refusal): try expect(refusal.code, .unwrap, answer)
        }
    }

    /// Has an envelope made anew under its key's newest version, and keeps the new one beside it.
    func rewrap() throws {
        guard let envelope = pick(envelopes) else { return }
        let item = OpenItem(envelope: ByteRange(offset: 0, count: envelope.bytes.count))
        let answer = try target.ask(
            .rewrap, RewrapRequest(key: nil, items: [item]), source: envelope.bytes, as: persons[0])
        note("rewrap version \(envelope.version) of \(envelope.key)")
        let foreseen = foresee { () throws(ModelRefusal) in
            try model.unwrap(envelope.key, envelope.version, at: now)
            return UInt32(try model.resolve(.id(envelope.key)).versions.count)
        }
        switch foreseen {
        case .success(let newest):
            guard let (item, body) = try cipherItem(answer), item.code == 0, let range = item.envelope,
                item.version == envelope.version, item.envelopeVersion == newest
            else { throw difference(.rewrap, "\(answer)", "an envelope of version \(newest)") }
            envelopes.append((Array(body[range.offset..<range.offset + range.count]), envelope.key, newest, envelope.plaintext))
            count("rewrap", nil)
        case .failure(let refusal): try expect(refusal.code, .rewrap, answer)
        }
    }

    private func cipherItem(_ answer: LifecycleAnswer) throws -> (CipherItem, [UInt8])? {
        guard case .reply(let body) = answer else { return nil }
        return (try CipherReply.decode(body.span.bytes).items[0], body)
    }

    private func expect(_ code: RefusalCode, _ opcode: Opcode, _ answer: LifecycleAnswer) throws {
        let got: UInt32? =
            switch answer {
            case .refused(let code): code.rawValue
            case .reply: try cipherItem(answer)?.0.code
            }
        guard got == code.rawValue else {
            throw difference(opcode, "\(got.map { "\($0)" } ?? "nothing")", "\(code) (\(code.rawValue))")
        }
        count(opcode.entry.name, code)
    }

    func show() throws {
        let reference = reference()
        try look(.keyShow, KeyShowRequest(key: reference), by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
            model.record(try model.resolve(reference), at: now)
        }
    }

    /// Lists keys by a random query, page by page, and counts them.
    func list() throws {
        var filter = KeyFilter()
        if chance(30) { filter.ring = "ring-\(number(0...5))" }
        if chance(50) { filter.states = KeyState.allCases.filter { _ in chance(60) } }
        if filter.states == [] { filter.states = nil }
        if chance(30) { filter.search = "KEY-1" }
        if chance(20) { filter.filter = "rotated=none" }
        let orders: [(String?, (ModelKey, ModelKey) -> Bool)] = [
            (nil, { ($0.created, $0.id) < ($1.created, $1.id) }), ("-created", { ($1.created, $0.id) < ($0.created, $1.id) }),
            ("name", { $0.name != $1.name ? $0.name < $1.name : $0.id < $1.id }),
            ("ring,-name", { $0.ring != $1.ring ? $0.ring < $1.ring : $0.name != $1.name ? $0.name > $1.name : $0.id < $1.id }),
        ]
        let (sort, order) = orders[number(0...orders.count - 1)]
        let wanted = model.keys.values.filter { key in
            if let ring = filter.ring, key.ring != ring { return false }
            if !(filter.states ?? [.active, .suspended, .deactivated]).contains(key.state(at: now)) { return false }
            if filter.filter != nil, key.rotated != nil { return false }
            guard filter.search != nil else { return true }
            return ([key.name] + key.aliases).contains { $0.hasPrefix("key-1") }
        }
        var found: [KeyRecord] = []
        var cursor: [UInt8]?
        let limit = UInt32(number(1...12))
        repeat {
            let request = KeyListRequest(limit: limit, cursor: cursor, filter: filter, sort: sort)
            guard case .reply(let body) = try target.ask(.keyList, request, source: [], as: person) else {
                throw difference(.keyList, "a refusal of \(request)", "a page")
            }
            let page = try KeyListReply.decode(body.span.bytes)
            found += page.keys
            cursor = page.next
        } while cursor != nil && found.count <= model.keys.count
        note("list \(filter) by \(sort ?? "-")")
        let expected = isExact ? wanted.sorted(by: order) : wanted.sorted { $0.id < $1.id }
        let listed = isExact ? found : found.sorted { $0.id < $1.id }
        guard listed.map(mask) == expected.map({ mask(model.record($0, at: now)) }) else {
            throw difference(.keyList, "\(found.map(\.name))", "\(expected.map(\.name))")
        }
        count("key-list", nil)
        try look(.keyCount, KeyCountRequest(filter: filter), by: person) { (_: KeyCountReply?) throws(ModelRefusal) in
            KeyCountReply(count: UInt64(wanted.count))
        }
    }

    /// Looks at everything there is.
    public func compareEverything() throws {
        for key in sortedKeys {
            try look(.keyShow, KeyShowRequest(key: .id(key.id)), by: person, mask) { (_: KeyRecord?) throws(ModelRefusal) in
                model.record(key, at: now)
            }
            let versions = (1...UInt32(key.versions.count)).reversed().map { model.record(of: $0, key) }
            try look(
                .keyVersions, KeyVersionsRequest(key: .id(key.id)), by: person,
                { reply in
                    KeyVersionsReply(key: reply.key, versions: reply.versions.map(self.mask), more: reply.more)
                }
            ) { (_: KeyVersionsReply?) throws(ModelRefusal) in
                KeyVersionsReply(key: key.id, versions: versions, more: false)
            }
        }
        try look(
            .ringList, PageRequest(), by: person,
            { (reply: RingListReply) in
                RingListReply(rings: reply.rings.map { RingRecord(id: $0.id, created: 0, createdBy: "", keys: $0.keys) })
            }
        ) { (_: RingListReply?) throws(ModelRefusal) in
            RingListReply(
                rings: (Array(model.rings) + ["default"]).sorted().map { id in
                    RingRecord(id: id, created: 0, createdBy: "", keys: UInt32(model.keys.values.count { $0.ring == id }))
                })
        }
        try look(
            .registrationList, RegistrationListRequest(limit: 500), by: person,
            { (reply: RegistrationListReply) in
                RegistrationListReply(registrations: reply.registrations.map(self.mask), next: reply.next)
            }
        ) { (_: RegistrationListReply?) throws(ModelRefusal) in
            RegistrationListReply(registrations: Array(model.registrations(at: now).prefix(500)), next: nil)
        }
        try compareImportTokens()
        try look(.policyShow, PolicyShowRequest(), by: person, mask) { (_: PolicyReply?) throws(ModelRefusal) in
            model.instancePolicies
        }
        try look(
            .approvalList, ApprovalListRequest(limit: 500, all: false), by: person,
            { (reply: ApprovalListReply) in
                ApprovalListReply(approvals: reply.approvals.map(self.mask))
            }
        ) { (_: ApprovalListReply?) throws(ModelRefusal) in
            ApprovalListReply(approvals: Array(model.approvals(all: false, at: now).prefix(500)))
        }
        count("everything", nil)
    }

    // MARK: masks: what no model can know

    /// A moment, where the clock is not the test's: whether it is there.
    func mask(_ moment: UInt64?) -> UInt64? { isExact ? moment : moment.map { _ in 0 } }
    func mask(_ moment: UInt64) -> UInt64 { isExact ? moment : 0 }

    func mask(_ record: KeyRecord) -> KeyRecord {
        var masked = record
        masked.created = mask(record.created)
        masked.versionCreated = mask(record.versionCreated)
        masked.updated = mask(record.updated)
        masked.rotated = mask(record.rotated)
        masked.expires = mask(record.expires)
        masked.deleted = mask(record.deleted)
        masked.restorableUntil = mask(record.restorableUntil)
        masked.purgeFrom = mask(record.purgeFrom)
        masked.purgeScheduled = mask(record.purgeScheduled)
        masked.nextRotation = mask(record.nextRotation)
        return masked
    }

    func mask(_ record: VersionRecord) -> VersionRecord {
        var masked = record
        masked.created = mask(record.created)
        masked.retired = mask(record.retired)
        masked.wraps = 0
        masked.isUsable = true
        return masked
    }

    func mask(_ reply: KeyDeleteReply) -> KeyDeleteReply {
        var masked = reply
        masked.restorableUntil = mask(reply.restorableUntil)
        masked.purgeFrom = mask(reply.purgeFrom)
        masked.wraps = 0
        masked.unwraps = 0
        masked.lastUsed = nil
        return masked
    }

    func mask(_ record: RingRecord) -> RingRecord {
        RingRecord(id: record.id, created: mask(record.created), createdBy: record.createdBy, keys: record.keys)
    }

    func mask(_ record: RegistrationRecord) -> RegistrationRecord {
        var masked = record
        masked.leaseEnds = mask(record.leaseEnds)
        masked.created = mask(record.created)
        masked.updated = mask(record.updated)
        return masked
    }

    func mask(_ reply: PolicyReply) -> PolicyReply {
        var masked = reply
        masked.updated = mask(reply.updated)
        return masked
    }

    func mask(_ record: ApprovalRecord) -> ApprovalRecord {
        var masked = record
        masked.created = mask(record.created)
        masked.expires = mask(record.expires)
        masked.decided = mask(record.decided)
        // The daemon writes the body anew, with the key's id in it.
        masked.body = record.body.map { _ in [] }
        return masked
    }
}
