import Cryptoki
import Support
import Testing

@Suite struct ObjectTests {
    @Test func attributesComeBackAsTheyWereSet() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let id: [UInt8] = [0, 1, 0xff, 0]
        let unwrapped: [Attribute] = [.bool(.sensitive, true), .bool(.extractable, false)]
        let key = try session.generateKey(
            .aesKeyGeneration,
            [
                .bool(.token, false), .bool(.private, true), .label("Schlüssel"), .id(id), .bool(.sensitive, true),
                .bool(.extractable, false), .bool(.encrypt, true), .bool(.decrypt, false), .bool(.wrap, true),
                .bool(.unwrap, true), .allowedMechanisms([.aesGCM, .aesKeyWrap]), .template(.unwrapTemplate, unwrapped),
                .ulong(.valueLength, 32), .bool(.modifiable, false),
            ])
        let label = try session.bytes(.label, of: key)
        #expect(String(decoding: label, as: UTF8.self) == "Schlüssel")
        #expect(try session.bytes(.id, of: key) == id)
        #expect(try session.ulong(.valueLength, of: key) == 32)
        #expect(try session.ulong(.keyType, of: key) == KeyType.aes.rawValue)
        #expect(try session.ulong(.objectClass, of: key) == ObjectClass.secretKey.rawValue)
        #expect(try Set(session.mechanisms(.allowedMechanisms, of: key)) == [.aesGCM, .aesKeyWrap])
        #expect(try session.bool(.sensitive, of: key))
        #expect(try !session.bool(.decrypt, of: key))
        #expect(try !session.bool(.modifiable, of: key))
    }

    @Test func manyFlagsInOneCallKeepTheirOrderAndGaps() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
        // A secret key has no CKA_MODULUS, and its CKA_VALUE is sensitive.
        let readings = try session.bools([.sensitive, .extractable, .modulus, .encrypt, .value, .wrap], of: key)
        #expect(readings == [.value(true), .value(false), .missing, .value(true), .sensitive, .value(false)])
        #expect(readings.map(\.value) == [true, false, nil, true, nil, false])
        let none = try session.bools([], of: key)
        #expect(none.isEmpty)
    }

    @Test func missingAndSensitiveAttributesDiffer() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let key = try session.generateKey(.aesKeyGeneration, Templates.aes())
        #expect(
            caught { () throws(CryptokiError) in _ = try session.bytes(.modulus, of: key) }
                == .failed(.getAttributeValue, .attributeTypeInvalid))
        #expect(
            caught { () throws(CryptokiError) in _ = try session.bytes(.value, of: key) }
                == .failed(.getAttributeValue, .attributeSensitive))
        #expect(
            caught { () throws(CryptokiError) in _ = try session.bool(.valueLength, of: key) }
                == .bufferTooSmall(needed: 8))
        #expect(
            caught { () throws(CryptokiError) in _ = try session.ulong(.sensitive, of: key) }
                == .malformedReply(.getAttributeValue))
        let gone = ObjectHandle(rawValue: 0x7fff_ffff)
        #expect(
            caught { () throws(CryptokiError) in _ = try session.bools([.sensitive], of: gone) }
                == .failed(.getAttributeValue, .objectHandleInvalid))
    }

    @Test func secretValuesGoInAndOutByTheCallersMemory() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let secret = Array("sixteen byte key".utf8)
        var template = Templates.imported(.aes).filter { $0.type != .sensitive && $0.type != .extractable }
        template += [.bool(.sensitive, false), .bool(.extractable, true), .bool(.modifiable, false)]
        let key = try session.createObject(template, value: secret.span.bytes)
        let value = try filled(32) { (output) throws(CryptokiError) in try session.read(.value, of: key, into: output) }
        #expect(value == secret)
        let short = caught { () throws(CryptokiError) in
            _ = try filled(15) { (output) throws(CryptokiError) in try session.read(.value, of: key, into: output) }
        }
        #expect(short == .bufferTooSmall(needed: 16))
    }

    @Test func findsByAttributesUpToTheLimit() throws {
        let token = try SoftToken.shared()
        try token.withObjects {
            var session = try token.openSession()
            var made: Set<ObjectHandle> = []
            for index in 0..<300 {
                let object = try session.createObject([
                    .objectClass(.data), .bool(.token, false), .bool(.private, true), .label("find-\(index % 2)"),
                    .text(.application, "find"), .bytes(.value, [UInt8(index & 0xff)]),
                ])
                if index % 2 == 0 { made.insert(object) }
            }
            let all = try session.findObjects(matching: [.text(.application, "find"), .label("find-0")], limit: 1_000)
            #expect(Set(all) == made && all.count == 150)
            let both = try session.findObjects(matching: [.text(.application, "find")], limit: 299)
            #expect(both.count == 299)
            let none = try session.findObjects(matching: [.label("find-2")], limit: 10)
            #expect(none.isEmpty)
            let zero = try session.findObjects(matching: [.text(.application, "find")], limit: 0)
            #expect(zero.isEmpty)
            for object in made { try session.destroyObject(object) }
            let left = try session.findObjects(matching: [.label("find-0")], limit: 10)
            #expect(left.isEmpty)
        }
    }

    @Test func tokenObjectsLiveUntilDestroyed() throws {
        let token = try SoftToken.shared()
        try token.withObjects {
            let label = "token-object"
            var first = try token.openSession()
            let made = try first.createObject([
                .objectClass(.data), .bool(.token, true), .bool(.private, true), .label(label), .bytes(.value, [7, 8, 9]),
            ])
            try first.close()
            var second = try token.openSession()
            let found = try second.findObjects(matching: [.label(label)], limit: 2)
            #expect(found == [made])
            #expect(try second.bytes(.value, of: made) == [7, 8, 9])
            try second.destroyObject(made)
            let error = caught { () throws(CryptokiError) in try second.destroyObject(made) }
            #expect(error == .failed(.destroyObject, .objectHandleInvalid))
        }
    }

    @Test func emptyValuesAreValues() throws {
        let token = try SoftToken.shared()
        var session = try token.openSession()
        let object = try session.createObject([
            .objectClass(.data), .bool(.token, false), .bool(.private, true), .label(""), .bytes(.value, []),
        ])
        #expect(try session.bytes(.value, of: object) == [])
        #expect(try session.bytes(.label, of: object) == [])
    }
}
