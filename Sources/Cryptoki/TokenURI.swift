internal import CCryptoki

/// A PKCS#11 URI that names a token (RFC 7512), such as
/// `pkcs11:token=production;serial=0123abcd?module-path=/usr/lib/pkcs11/module.so`.
///
/// Stricter than the RFC, because a URI that selects less than its author thought selects the wrong token: an attribute that is
/// unknown, stands twice or does not concern tokens is refused, and so is a PIN.
public struct TokenURI: Hashable, Sendable {
    /// `module-path`: the module's absolute path.
    public let modulePath: String?
    /// `token`: the token's label.
    public let label: String?
    /// `manufacturer`: the token's manufacturer.
    public let manufacturer: String?
    /// `model`: the token's model.
    public let model: String?
    /// `serial`: the token's serial number.
    public let serial: String?
    /// `slot-id`: the slot. Tokens move between slots, so a serial number is the better choice.
    public let slot: SlotID?

    /// The attributes of the path that are taken (RFC 7512 section 2.3) and the bytes that a token's field holds.
    private static let pathAttributes: [Substring: Int] = [
        "token": TokenInfo.labelLength, "manufacturer": 32, "model": 16, "serial": 16, "slot-id": 20,
    ]
    /// The attributes of the query that are taken (RFC 7512 section 2.4).
    private static let queryAttributes: Set<Substring> = ["module-path"]
    private static let pinAttributes: Set<Substring> = ["pin-value", "pin-source", "pinfile"]

    /// Parses a URI.
    ///
    /// - Throws: ``CryptokiError/invalidURI(_:)``.
    public init(_ uri: String) throws(CryptokiError) {
        let names = try TokenURI.attributes(of: uri)
        guard let parsed = ParsedURI(uri) else { throw .invalidURI(.syntax) }
        let token = parsed.token
        label = names.contains("token") ? token.label : nil
        manufacturer = names.contains("manufacturer") ? token.manufacturer : nil
        model = names.contains("model") ? token.model : nil
        serial = names.contains("serial") ? token.serial : nil
        slot = parsed.slot
        modulePath = names.contains("module-path") ? parsed.modulePath : nil
        if let modulePath, modulePath.utf8.first != UInt8(ascii: "/") { throw .invalidURI(.modulePathNotAbsolute) }
    }

    /// The names in the URI, once they are all known, single and in their place.
    ///
    /// libp11-kit parses the values, but lets unknown query attributes, repetitions and values with a zero byte pass in silence.
    private static func attributes(of uri: String) throws(CryptokiError) -> Set<Substring> {
        guard uri.hasPrefix("pkcs11:") else { throw .invalidURI(.scheme) }
        guard !uri.utf8.contains(0), !uri.contains("%00") else { throw .invalidURI(.syntax) }
        let parts = uri.dropFirst("pkcs11:".count).split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        var names: Set<Substring> = []
        for (part, separator) in zip(parts, [";", "&"] as [Character]) where !part.isEmpty {
            for attribute in part.split(separator: separator, omittingEmptySubsequences: false) {
                guard let equals = attribute.firstIndex(of: "=") else { throw .invalidURI(.syntax) }
                let name = attribute[..<equals]
                let value = attribute[attribute.index(after: equals)...]
                guard !pinAttributes.contains(name) else { throw .invalidURI(.containsPIN) }
                if separator == "&" {
                    guard queryAttributes.contains(name) else { throw .invalidURI(.unrecognizedAttribute(String(name))) }
                } else {
                    guard let limit = pathAttributes[name] else { throw .invalidURI(.unrecognizedAttribute(String(name))) }
                    let length = value.utf8.count - 2 * value.utf8.count(where: { $0 == UInt8(ascii: "%") })
                    guard length <= limit else { throw .invalidURI(.valueTooLong(String(name))) }
                    // The parser reads no digits as 0, clamps what is too large, and has the largest number for "no slot".
                    guard name != "slot-id" || (UInt(value) ?? UInt.max) < UInt.max else { throw .invalidURI(.syntax) }
                }
                guard names.insert(name).inserted else { throw .invalidURI(.repeatedAttribute(String(name))) }
            }
        }
        return names
    }

    /// Whether a token in `slot` is one that the URI names: all attributes given are equal, byte for byte.
    public func matches(_ token: TokenInfo, in slot: SlotID) -> Bool {
        // String's == is canonical equivalence, under which different bytes can be equal.
        func equal(_ wanted: String?, _ actual: String) -> Bool { wanted.map { $0.utf8.elementsEqual(actual.utf8) } ?? true }
        return equal(label, token.label) && equal(manufacturer, token.manufacturer) && equal(model, token.model)
            && equal(serial, token.serial) && (self.slot ?? slot) == slot
    }

    /// The one slot whose token the URI names. The module must be initialised.
    ///
    /// Tokens that are not initialised count too, since initialising one begins with naming it. A token that does not answer
    /// does not hinder the choice of another.
    ///
    /// - Throws: ``CryptokiError/noMatchingToken(found:)`` or ``CryptokiError/severalMatchingTokens(matching:)``, or what
    ///   C_GetSlotList gave.
    public func select(in module: Module) throws(CryptokiError) -> SlotID {
        var found: [FoundToken] = []
        var matching: [FoundToken] = []
        for slot in try module.slots(withToken: true) {
            do throws(CryptokiError) {
                let info = try module.tokenInfo(slot)
                let token = FoundToken(slot: slot, info)
                found.append(token)
                if matches(info, in: slot) { matching.append(token) }
            } catch {
                found.append(FoundToken(slot: slot, label: "", serial: "", problem: error.returnValue))
            }
        }
        guard let first = matching.first else { throw .noMatchingToken(found: found) }
        guard matching.count == 1 else { throw .severalMatchingTokens(matching: matching) }
        return first.slot
    }
}

/// A token as an error message names it.
public struct FoundToken: Hashable, Sendable {
    /// Where it is.
    public let slot: SlotID
    /// Its label.
    public let label: String
    /// Its serial number.
    public let serial: String
    /// What C_GetTokenInfo returned for a token that did not answer, else nil.
    public let problem: ReturnValue?

    init(slot: SlotID, label: String, serial: String, problem: ReturnValue?) {
        self.slot = slot
        self.label = label
        self.serial = serial
        self.problem = problem
    }

    init(slot: SlotID, _ info: TokenInfo) {
        self.init(slot: slot, label: info.label, serial: info.serial, problem: nil)
    }

    static func list(_ tokens: [FoundToken]) -> String {
        tokens.isEmpty ? "none" : tokens.map(\.description).joined(separator: ", ")
    }
}

extension FoundToken: CustomStringConvertible {
    /// `"label" (serial 0123, slot 4)`, with control characters of a hostile label escaped.
    public var description: String {
        if let problem { return "slot \(slot) (\(problem))" }
        return "\(String(reflecting: label)) (serial \(serial.isEmpty ? "none" : String(reflecting: serial)), slot \(slot))"
    }
}

/// libp11-kit's parsed URI, freed when it goes.
private struct ParsedURI: ~Copyable {
    private let uri: OpaquePointer

    /// nil when libp11-kit refuses the URI or recognises less than all of it.
    init?(_ text: String) {
        guard let uri = p11_kit_uri_new() else { return nil }
        let type = P11KitUriType(rawValue: P11_KIT_URI_FOR_TOKEN.rawValue | P11_KIT_URI_FOR_SLOT.rawValue)
        guard p11_kit_uri_parse(text, type, uri) == P11_KIT_URI_OK.rawValue, p11_kit_uri_any_unrecognized(uri) == 0 else {
            p11_kit_uri_free(uri)
            return nil
        }
        self.uri = uri
    }

    deinit { p11_kit_uri_free(uri) }

    var token: TokenInfo { TokenInfo(p11_kit_uri_get_token_info(uri).pointee) }
    /// nil when the URI names no slot, which libp11-kit tells as CK_UNAVAILABLE_INFORMATION.
    var slot: SlotID? {
        let slot = p11_kit_uri_get_slot_id(uri)
        return slot == UInt.max ? nil : SlotID(rawValue: slot)
    }
    var modulePath: String? { p11_kit_uri_get_module_path(uri).map { String(cString: $0) } }
}
