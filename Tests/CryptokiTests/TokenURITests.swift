import Cryptoki
import Support
import Testing

@Suite struct TokenURITests {
    @Test func readsAllAttributes() throws {
        let uri = try TokenURI(
            "pkcs11:token=my%20token;manufacturer=Soft;model=v2;serial=0aF;slot-id=12?module-path=/usr/lib/a%20b.so")
        #expect(uri.label == "my token")
        #expect(uri.manufacturer == "Soft")
        #expect(uri.model == "v2")
        #expect(uri.serial == "0aF")
        #expect(uri.slot == SlotID(rawValue: 12))
        #expect(uri.modulePath == "/usr/lib/a b.so")
    }

    @Test func leavesOutWhatIsNotGiven() throws {
        let uri = try TokenURI("pkcs11:serial=1")
        #expect(uri.label == nil && uri.slot == nil && uri.modulePath == nil && uri.serial == "1")
        let empty = try TokenURI("pkcs11:")
        #expect(empty.label == nil && empty.serial == nil)
        #expect(try TokenURI("pkcs11:token=").label == "")
    }

    @Test(arguments: [
        ("http:token=a", CryptokiError.URIProblem.scheme), ("token=a", .scheme), ("", .scheme),
        ("pkcs11:token=%zz", .syntax), ("pkcs11:token=a%00", .syntax), ("pkcs11:token", .syntax), ("pkcs11:token=a;", .syntax),
        ("pkcs11:slot-id=abc", .syntax), ("pkcs11:slot-id=", .syntax), ("pkcs11:slot-id=-1", .syntax),
        ("pkcs11:slot-id=18446744073709551615", .syntax), ("pkcs11:slot-id=%31", .syntax),
        ("pkcs11:tokn=a", .unrecognizedAttribute("tokn")), ("pkcs11:x-vendor=a", .unrecognizedAttribute("x-vendor")),
        ("pkcs11:object=key", .unrecognizedAttribute("object")), ("pkcs11:TOKEN=a", .unrecognizedAttribute("TOKEN")),
        ("pkcs11:library-manufacturer=a", .unrecognizedAttribute("library-manufacturer")),
        ("pkcs11:slot-description=a", .unrecognizedAttribute("slot-description")),
        ("pkcs11:token=a?foo=b", .unrecognizedAttribute("foo")),
        ("pkcs11:token=a?module-name=softhsm2", .unrecognizedAttribute("module-name")),
        ("pkcs11:token=a;token=b", .repeatedAttribute("token")),
        ("pkcs11:token=a?module-path=/a&module-path=/b", .repeatedAttribute("module-path")),
        ("pkcs11:token=a?pin-value=1234", .containsPIN), ("pkcs11:token=a?pin-source=file:/pin", .containsPIN),
        ("pkcs11:token=a;pin-value=1234", .containsPIN),
        ("pkcs11:serial=01234567890123456", .valueTooLong("serial")),
        ("pkcs11:token=a?module-path=libsofthsm2.so", .modulePathNotAbsolute),
    ])
    func refuses(uri: String, problem: CryptokiError.URIProblem) {
        #expect(caught { () throws(CryptokiError) in _ = try TokenURI(uri) } == .invalidURI(problem))
    }

    @Test func acceptsValuesThatJustFit() throws {
        let uri = try TokenURI("pkcs11:serial=0123456789abcde%66;token=" + String(repeating: "x", count: 32))
        #expect(uri.serial == "0123456789abcdef")
        #expect(
            caught { () throws(CryptokiError) in
                _ = try TokenURI("pkcs11:token=" + String(repeating: "x", count: 33))
            } == .invalidURI(.valueTooLong("token")))
    }

    @Test func refusalsNeverShowThePIN() {
        let error = caught { () throws(CryptokiError) in _ = try TokenURI("pkcs11:token=a?pin-value=hunter2") }
        #expect(error?.description.contains("hunter2") == false)
    }

    @Test func selectsTheOneTokenThatMatches() throws {
        let token = try SoftToken.shared()
        let info = try token.module.tokenInfo(token.slot)
        for uri in [
            "pkcs11:token=\(token.label)", "pkcs11:serial=\(info.serial)", "pkcs11:slot-id=\(token.slot)",
            "pkcs11:token=\(token.label);serial=\(info.serial);model=SoftHSM%20v2;manufacturer=SoftHSM%20project",
        ] {
            #expect(try TokenURI(uri).select(in: token.module) == token.slot)
        }
    }

    @Test(arguments: ["pkcs11:token=claviger-tes", "pkcs11:token=Claviger-Test", "pkcs11:token=claviger-test;serial=0"])
    func namesWhatIsThereWhenNothingMatches(uri: String) throws {
        let token = try SoftToken.shared()
        let serial = try token.module.tokenInfo(token.slot).serial
        let error = caught { () throws(CryptokiError) in _ = try TokenURI(uri).select(in: token.module) }
        guard case .noMatchingToken(let found)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(found.contains { $0.label == token.label && $0.serial == serial && $0.slot == token.slot })
        #expect(error?.description.contains("\"claviger-test\" (serial \"\(serial)\", slot \(token.slot))") == true)
    }

    @Test func refusesToChooseBetweenTwo() throws {
        // SoftHSM always shows one more token, empty, for the next initialisation.
        let token = try SoftToken.shared()
        let error = caught { () throws(CryptokiError) in _ = try TokenURI("pkcs11:model=SoftHSM%20v2").select(in: token.module) }
        guard case .severalMatchingTokens(let matching)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(matching.count == 2)
    }
}
