/// Why a PKCS#11 call, the loading of a module or the choice of a token failed.
///
/// Carries numbers, paths and what tokens say of themselves; never a PIN, plaintext or key.
public enum CryptokiError: Error, Hashable, Sendable {
    /// A function of the module returned something other than CKR_OK.
    case failed(Function, ReturnValue)
    /// The module at `path` cannot be used; `detail` is what the dynamic loader says, and may be empty.
    case cannotLoad(path: String, LoadProblem, detail: String)
    /// The module claimed success and answered what it may not: more bytes than the buffer holds, an absurd count, handle 0.
    case malformedReply(Function)
    /// The caller's buffer is smaller than the result may be; nothing was called. `needed` is in bytes.
    case bufferTooSmall(needed: Int)
    /// A token label longer than 32 bytes of UTF-8.
    case labelTooLong
    /// A PKCS#11 URI that is refused.
    case invalidURI(URIProblem)
    /// No token matches the URI; `found` is what is there.
    case noMatchingToken(found: [FoundToken])
    /// More than one token matches the URI; `matching` are those.
    case severalMatchingTokens(matching: [FoundToken])

    /// What is wrong with a module.
    public enum LoadProblem: Hashable, Sendable {
        /// The path does not begin with `/`, or holds a zero byte.
        case pathNotAbsolute
        /// Nothing that this process may read is at the path.
        case notFound
        /// The dynamic loader refuses the file.
        case notLoadable
        /// A shared library without C_GetFunctionList, or one whose C_GetFunctionList fails.
        case notPKCS11
        /// A function list of a version other than 2.x and 3.x.
        case unsupportedVersion
    }

    /// What is wrong with a PKCS#11 URI (RFC 7512). Attribute names appear, values never do.
    public enum URIProblem: Hashable, Sendable {
        /// Does not begin with `pkcs11:`.
        case scheme
        /// Malformed percent-encoding, a zero byte, a value that is not a number where one is due.
        case syntax
        /// An attribute that RFC 7512 does not define, or that says nothing about a token.
        case unrecognizedAttribute(String)
        /// An attribute that stands twice.
        case repeatedAttribute(String)
        /// A value longer than the token's field, so that nothing can match.
        case valueTooLong(String)
        /// `pin-value` or `pin-source`: a PIN never stands in a URI.
        case containsPIN
        /// A `module-path` that is not absolute.
        case modulePathNotAbsolute
    }

    /// What the module's function returned; nil when the error is not one of a function.
    public var returnValue: ReturnValue? {
        if case .failed(_, let value) = self { return value }
        return nil
    }

    /// Throws when `value` is not CKR_OK.
    static func check(_ value: UInt, _ function: Function) throws(CryptokiError) {
        guard value == 0 else { throw .failed(function, ReturnValue(rawValue: value)) }
    }
}

extension CryptokiError: CustomStringConvertible {
    /// One line for an operator, such as `C_Login: CKR_PIN_INCORRECT (0xa0)`.
    public var description: String {
        switch self {
        case .failed(let function, let value): "\(function.rawValue): \(value)"
        case .cannotLoad(let path, let problem, let detail):
            "cannot load PKCS#11 module \(path): \(problem.text)\(detail.isEmpty ? "" : " (\(detail))")"
        case .malformedReply(let function): "\(function.rawValue): malformed reply from the module"
        case .bufferTooSmall(let needed): "output buffer too small: \(needed) bytes needed"
        case .labelTooLong: "a token label has at most \(TokenInfo.labelLength) bytes"
        case .invalidURI(let problem): "PKCS#11 URI refused: \(problem.text)"
        case .noMatchingToken(let found): "no token matches; found \(FoundToken.list(found))"
        case .severalMatchingTokens(let matching): "more than one token matches: \(FoundToken.list(matching))"
        }
    }
}

extension CryptokiError.LoadProblem {
    var text: String {
        switch self {
        case .pathNotAbsolute: "the path must be absolute"
        case .notFound: "not found, or not readable"
        case .notLoadable: "not a library that can be loaded here"
        case .notPKCS11: "not a PKCS#11 module"
        case .unsupportedVersion: "neither version 2.x nor 3.x of PKCS#11"
        }
    }
}

extension CryptokiError.URIProblem {
    var text: String {
        switch self {
        case .scheme: "it must begin with pkcs11:"
        case .syntax: "malformed (RFC 7512)"
        case .unrecognizedAttribute(let name): "attribute \(name) does not select a token"
        case .repeatedAttribute(let name): "attribute \(name) stands twice"
        case .valueTooLong(let name): "the value of \(name) is longer than a token can have"
        case .containsPIN: "a PIN or its source does not belong in a URI"
        case .modulePathNotAbsolute: "module-path must be absolute"
        }
    }
}
