import CCryptoki
import Glibc
import Support

/// What somebody with the user PIN and the module can try, by PKCS#11 itself: calls that our own layer does not even have.
///
/// Each attack gives the CKR of every try by name; 0 is a success of the thief.
final class TokenAttacks {
    private let functions: CK_FUNCTION_LIST
    private var session: CK_SESSION_HANDLE = 0
    /// A session key of the thief's own that may do everything, and whose value is known.
    private var accomplice: CK_OBJECT_HANDLE = 0

    /// Logs in to a harness's token, in a process of its own.
    init(_ directory: String) throws {
        setenv("SOFTHSM2_CONF", directory + "/softhsm2.conf", 1)
        var pin = try readFile(directory + "/pin")
        guard let library = dlopen(try SoftToken.modulePath(), RTLD_NOW), let symbol = dlsym(library, "C_GetFunctionList") else {
            throw HarnessError("the module cannot be loaded")
        }
        typealias GetList = @convention(c) (UnsafeMutablePointer<UnsafeMutablePointer<CK_FUNCTION_LIST>?>?) -> CK_RV
        var list: UnsafeMutablePointer<CK_FUNCTION_LIST>?
        guard unsafeBitCast(symbol, to: GetList.self)(&list) == 0, let list else { throw HarnessError("C_GetFunctionList") }
        functions = list.pointee
        try check(functions.C_Initialize(nil), "C_Initialize")
        var slots = [CK_SLOT_ID](repeating: 0, count: 16)
        var count = CK_ULONG(slots.count)
        try check(functions.C_GetSlotList(1, &slots, &count), "C_GetSlotList")
        // SoftHSM shows an empty slot beside the initialised one.
        var info = CK_TOKEN_INFO()
        let used = try slots[..<Int(count)].first { slot in
            try check(functions.C_GetTokenInfo(slot, &info), "C_GetTokenInfo")
            return info.flags & CK_FLAGS(CKF_TOKEN_INITIALIZED) != 0
        }
        guard let used else { throw HarnessError("there is no initialised token") }
        let flags = CK_FLAGS(CKF_SERIAL_SESSION) | CK_FLAGS(CKF_RW_SESSION)
        try check(functions.C_OpenSession(used, flags, nil, nil, &session), "C_OpenSession")
        try check(functions.C_Login(session, CK_USER_TYPE(CKU_USER), &pin, CK_ULONG(pin.count)), "C_Login")
        accomplice = try makeOpenKey()
    }

    private func check(_ code: CK_RV, _ name: String) throws {
        guard code == 0 else { throw HarnessError("\(name): \(code)") }
    }

    /// Runs `body` with attributes of these types and values.
    private func with<R>(_ attributes: [(CK_ULONG, [UInt8])], _ body: (UnsafeMutablePointer<CK_ATTRIBUTE>?, CK_ULONG) -> R) -> R {
        let memory = attributes.map { attribute in
            let place = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, attribute.1.count), alignment: 8)
            place.copyBytes(from: attribute.1)
            return place
        }
        defer { for place in memory { place.deallocate() } }
        var template = zip(attributes, memory).map { attribute, place in
            CK_ATTRIBUTE(type: attribute.0, pValue: place.baseAddress, ulValueLen: CK_ULONG(attribute.1.count))
        }
        return template.withUnsafeMutableBufferPointer { body($0.baseAddress, CK_ULONG($0.count)) }
    }

    private func number(_ value: CK_ULONG) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }

    private func makeOpenKey() throws -> CK_OBJECT_HANDLE {
        let attributes: [(CK_ULONG, [UInt8])] =
            [
                (CKA_CLASS, number(CKO_SECRET_KEY)), (CKA_KEY_TYPE, number(CKK_AES)),
                (CKA_VALUE, [UInt8](repeating: 9, count: 32)), (CKA_SENSITIVE, [0]), (CKA_EXTRACTABLE, [1]), (CKA_TOKEN, [0]),
            ] + [CKA_ENCRYPT, CKA_DECRYPT, CKA_WRAP, CKA_UNWRAP, CKA_SIGN, CKA_DERIVE, CKA_MODIFIABLE].map { ($0, [1]) }
        var handle: CK_OBJECT_HANDLE = 0
        let code = with(attributes) { functions.C_CreateObject(session, $0, $1, &handle) }
        try check(code, "C_CreateObject")
        return handle
    }

    /// The token's secret and private keys.
    func privateObjects() throws -> [CK_OBJECT_HANDLE] {
        var found: [CK_OBJECT_HANDLE] = []
        for objectClass in [CKO_SECRET_KEY, CKO_PRIVATE_KEY] {
            let attributes = [(CKA_CLASS, number(objectClass)), (CKA_TOKEN, [1])]
            try check(with(attributes) { functions.C_FindObjectsInit(session, $0, $1) }, "C_FindObjectsInit")
            var handles = [CK_OBJECT_HANDLE](repeating: 0, count: 100)
            var count: CK_ULONG = 0
            try check(functions.C_FindObjects(session, &handles, 100, &count), "C_FindObjects")
            try check(functions.C_FindObjectsFinal(session), "C_FindObjectsFinal")
            found += handles[..<Int(count)]
        }
        return found
    }

    /// Reads the key itself.
    func value(of object: CK_OBJECT_HANDLE) -> CK_RV {
        with([(CKA_VALUE, [UInt8](repeating: 0, count: 512))]) { functions.C_GetAttributeValue(session, object, $0, $1) }
    }

    /// C_SetAttributeValue with everything that would open the object.
    func attributeChanges(of object: CK_OBJECT_HANDLE) -> [(String, CK_RV)] {
        let changes: [(String, CK_ULONG, [UInt8])] = [
            ("SENSITIVE=false", CKA_SENSITIVE, [0]), ("EXTRACTABLE=true", CKA_EXTRACTABLE, [1]),
            ("MODIFIABLE=true", CKA_MODIFIABLE, [1]), ("PRIVATE=false", CKA_PRIVATE, [0]), ("WRAP=true", CKA_WRAP, [1]),
            ("UNWRAP=true", CKA_UNWRAP, [1]), ("DERIVE=true", CKA_DERIVE, [1]), ("SIGN=true", CKA_SIGN, [1]),
            ("ENCRYPT=true", CKA_ENCRYPT, [1]), ("DECRYPT=true", CKA_DECRYPT, [1]), ("TOKEN=false", CKA_TOKEN, [0]),
            // CKA_COPYABLE and CKA_DESTROYABLE of PKCS#11 2.40, which not every header names.
            ("COPYABLE=true", 0x171, [1]), ("DESTROYABLE=false", 0x172, [0]),
            ("another label", CKA_LABEL, Array("mine".utf8)), ("another id", CKA_ID, [1]),
            ("another mechanism", CKA_ALLOWED_MECHANISMS, number(CKM_AES_ECB)),
        ]
        return changes.map { name, type, value in
            (name, with([(type, value)]) { functions.C_SetAttributeValue(session, object, $0, $1) })
        }
    }

    /// C_CopyObject, plain and with everything that would open the copy.
    func copies(of object: CK_OBJECT_HANDLE) -> [(String, CK_RV)] {
        let templates: [(String, [(CK_ULONG, [UInt8])])] = [
            ("a copy", []), ("a session copy", [(CKA_TOKEN, [0])]), ("a readable copy", [(CKA_SENSITIVE, [0])]),
            ("an extractable copy", [(CKA_EXTRACTABLE, [1])]), ("a modifiable copy", [(CKA_MODIFIABLE, [1])]),
            ("an open copy", [(CKA_TOKEN, [0]), (CKA_SENSITIVE, [0]), (CKA_EXTRACTABLE, [1]), (CKA_MODIFIABLE, [1])]),
        ]
        return templates.map { name, template in
            var copy: CK_OBJECT_HANDLE = 0
            return (name, with(template) { functions.C_CopyObject(session, object, $0, $1, &copy) })
        }
    }

    private func wrap(_ mechanism: CK_ULONG, _ key: CK_OBJECT_HANDLE, of object: CK_OBJECT_HANDLE) -> CK_RV {
        var way = CK_MECHANISM(mechanism: mechanism, pParameter: nil, ulParameterLen: 0)
        var output = [UInt8](repeating: 0, count: 1_024)
        var count = CK_ULONG(output.count)
        return functions.C_WrapKey(session, &way, key, object, &output, &count)
    }

    /// C_WrapKey of the object under a key that the thief knows, and of the thief's key under the object.
    func wraps(of object: CK_OBJECT_HANDLE) -> [(String, CK_RV)] {
        [
            ("AES-KW of it", wrap(CKM_AES_KEY_WRAP, accomplice, of: object)),
            ("AES-KWP of it", wrap(CKM_AES_KEY_WRAP_PAD, accomplice, of: object)),
            ("AES-KW by it", wrap(CKM_AES_KEY_WRAP, object, of: accomplice)),
        ]
    }

    /// Uses for which the object was not made: each would be an oracle.
    func misuses(of object: CK_OBJECT_HANDLE) -> [(String, CK_RV)] {
        var results: [(String, CK_RV)] = []
        var iv = [UInt8](repeating: 0, count: 16)
        iv.withUnsafeMutableBytes { iv in
            for (name, mechanism, hasIV) in [
                ("AES-ECB", CKM_AES_ECB, false), ("AES-CBC", CKM_AES_CBC, true), ("AES-CBC-PAD", CKM_AES_CBC_PAD, true),
            ] {
                var way = CK_MECHANISM(
                    mechanism: mechanism, pParameter: hasIV ? iv.baseAddress : nil,
                    ulParameterLen: hasIV ? 16 : 0)
                results.append(("encrypt \(name)", functions.C_EncryptInit(session, &way, object)))
                results.append(("decrypt \(name)", functions.C_DecryptInit(session, &way, object)))
            }
            // CKM_AES_CMAC: E_K of a chosen block.
            var mac = CK_MECHANISM(mechanism: 0x108a, pParameter: nil, ulParameterLen: 0)
            results.append(("sign AES-CMAC", functions.C_SignInit(session, &mac, object)))
            var data = CK_KEY_DERIVATION_STRING_DATA(pData: iv.baseAddress?.assumingMemoryBound(to: UInt8.self), ulLen: 16)
            withUnsafeMutableBytes(of: &data) { data in
                // CKM_AES_ECB_ENCRYPT_DATA: the derived key is the encryption of chosen data.
                var way = CK_MECHANISM(mechanism: 0x1104, pParameter: data.baseAddress, ulParameterLen: CK_ULONG(data.count))
                var derived: CK_OBJECT_HANDLE = 0
                let template = [
                    (CKA_CLASS, number(CKO_SECRET_KEY)), (CKA_KEY_TYPE, number(CKK_GENERIC_SECRET)),
                    (CKA_SENSITIVE, [0]), (CKA_EXTRACTABLE, [1]), (CKA_VALUE_LEN, number(16)),
                ]
                let code = with(template) { functions.C_DeriveKey(session, &way, object, $0, $1, &derived) }
                results.append(("derive by AES-ECB", code))
            }
        }
        return results
    }

    /// Whether the attacks succeed on a key that permits them: that they fail elsewhere then means something.
    func worksOnAnOpenKey() -> Bool {
        guard let open = try? makeOpenKey() else { return false }
        let label = with([(CKA_LABEL, Array("mine".utf8))]) { functions.C_SetAttributeValue(session, open, $0, $1) }
        let copies = copies(of: open).filter { $0.0 == "a session copy" }.map(\.1)
        let wraps = wraps(of: open).map(\.1)
        let reading = with([(CKA_VALUE, [UInt8](repeating: 0, count: 512))]) {
            functions.C_GetAttributeValue(session, open, $0, $1)
        }
        return label == 0 && copies == [0] && wraps.first == 0 && wraps.last == 0 && reading == 0
    }
}
