internal import CCryptoki

/// What reading one attribute gave.
public enum AttributeReading<Value: Hashable & Sendable>: Hashable, Sendable {
    /// Its value.
    case value(Value)
    /// The object has no such attribute (CKR_ATTRIBUTE_TYPE_INVALID), or the token does not know it.
    case missing
    /// It exists and may not be read (CKR_ATTRIBUTE_SENSITIVE).
    case sensitive

    /// The value, or nil for an attribute that is missing or sensitive.
    public var value: Value? {
        if case .value(let value) = self { return value }
        return nil
    }
}

/// Reading attributes: C_GetAttributeValue (PKCS#11 v2.40 section 5.7).
///
/// A single read throws ``ReturnValue/attributeTypeInvalid`` for an attribute that the object has not, and
/// ``ReturnValue/attributeSensitive`` for one that may not be read.
extension Session {
    /// Values longer than this are not fetched: no attribute that is read here is near it.
    private static var valueLimit: UInt { 16 << 20 }

    /// A flag.
    public mutating func bool(_ type: AttributeType, of object: ObjectHandle) throws(CryptokiError) -> Bool {
        var flag: UInt8 = 0
        let length = try withUnsafeMutableBytes(of: &flag) { (bytes) throws(CryptokiError) -> Int in
            try read(type, of: object, into: bytes)
        }
        guard length == 1 else { throw .malformedReply(.getAttributeValue) }
        return flag != 0
    }

    /// A number.
    public mutating func ulong(_ type: AttributeType, of object: ObjectHandle) throws(CryptokiError) -> UInt {
        var number: UInt = 0
        let length = try withUnsafeMutableBytes(of: &number) { (bytes) throws(CryptokiError) -> Int in
            try read(type, of: object, into: bytes)
        }
        guard length == MemoryLayout<UInt>.size else { throw .malformedReply(.getAttributeValue) }
        return number
    }

    /// Bytes that are not secret, in an array; for a secret value use ``read(_:of:into:)``.
    public mutating func bytes(_ type: AttributeType, of object: ObjectHandle) throws(CryptokiError) -> [UInt8] {
        let length = try self.length(type, of: object)
        guard length <= Session.valueLimit else { throw .malformedReply(.getAttributeValue) }
        var bytes = [UInt8](repeating: 0, count: Int(length))
        let outcome = bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(CryptokiError) in try self.read(type, of: object, into: buffer) }
        }
        let read = try outcome.get()
        return read == bytes.count ? bytes : Array(bytes.prefix(read))
    }

    /// A list of mechanisms, such as ``AttributeType/allowedMechanisms``.
    public mutating func mechanisms(
        _ type: AttributeType, of object: ObjectHandle
    ) throws(CryptokiError) -> [MechanismType] {
        let bytes = try self.bytes(type, of: object)
        guard bytes.count % MemoryLayout<UInt>.size == 0 else { throw .malformedReply(.getAttributeValue) }
        return bytes.withUnsafeBytes { raw in
            stride(from: 0, to: raw.count, by: MemoryLayout<UInt>.size).map {
                MechanismType(rawValue: raw.loadUnaligned(fromByteOffset: $0, as: UInt.self))
            }
        }
    }

    /// What an attribute that holds attributes demands, such as ``AttributeType/unwrapTemplate``: each with its value as bytes, a flag
    /// as one byte and a number as a CK_ULONG of this machine.
    public mutating func template(
        _ type: AttributeType, of object: ObjectHandle
    ) throws(CryptokiError) -> [Attribute] {
        let stride = MemoryLayout<CK_ATTRIBUTE>.stride
        let size = try length(type, of: object)
        guard size % UInt(stride) == 0, size <= UInt(stride * Session.templateLimit) else {
            throw .malformedReply(.getAttributeValue)
        }
        guard size > 0 else { return [] }
        // The module says which attributes there are and how long their values; then it gets memory for them.
        var list = [CK_ATTRIBUTE](repeating: CK_ATTRIBUTE(), count: Int(size) / stride)
        try fill(&list, type, of: object)
        let lengths = list.map(\.ulValueLen)
        guard lengths.allSatisfy({ $0 <= Session.templateValueLimit }) else { throw .malformedReply(.getAttributeValue) }
        let values = UnsafeMutableRawPointer.allocate(
            byteCount: list.count * Int(Session.templateValueLimit), alignment: MemoryLayout<CK_ATTRIBUTE>.alignment)
        defer { values.deallocate() }
        for index in list.indices { list[index].pValue = values + index * Int(Session.templateValueLimit) }
        try fill(&list, type, of: object)
        var attributes: [Attribute] = []
        for (index, entry) in list.enumerated() {
            let place = values + index * Int(Session.templateValueLimit)
            guard entry.ulValueLen == lengths[index], entry.pValue == place else { throw .malformedReply(.getAttributeValue) }
            let value = UnsafeRawBufferPointer(start: place, count: Int(entry.ulValueLen))
            attributes.append(.bytes(AttributeType(rawValue: entry.type), Array(value)))
        }
        return attributes
    }

    /// No template that is read here is near it: it has a dozen attributes.
    private static var templateLimit: Int { 64 }
    /// The longest value in such a template: flags, numbers and short lists of mechanisms.
    private static var templateValueLimit: UInt { 256 }

    private mutating func fill(
        _ list: inout [CK_ATTRIBUTE], _ type: AttributeType, of object: ObjectHandle
    ) throws(CryptokiError) {
        let size = list.count * MemoryLayout<CK_ATTRIBUTE>.stride
        let outcome = list.withUnsafeMutableBytes { bytes in
            Result { () throws(CryptokiError) in try self.read(type, of: object, into: bytes) }
        }
        guard try outcome.get() == size else { throw .malformedReply(.getAttributeValue) }
    }

    /// Reads an attribute into the caller's memory and returns its length in bytes.
    ///
    /// - Throws: ``CryptokiError/bufferTooSmall(needed:)`` when it does not fit.
    public mutating func read(
        _ type: AttributeType, of object: ObjectHandle, into buffer: UnsafeMutableRawBufferPointer
    ) throws(CryptokiError) -> Int {
        // With NULL the module would report the length and copy nothing, so an empty buffer needs an address of its own.
        var none: UInt8 = 0
        let capacity = buffer.count
        var length: UInt = 0
        let result = withUnsafeMutableBytes(of: &none) { none in
            var attribute = CK_ATTRIBUTE(
                type: type.rawValue, pValue: buffer.baseAddress ?? none.baseAddress, ulValueLen: UInt(capacity))
            let result = cryptoki_get_attributes(functions.pointer, handle, object.rawValue, &attribute, 1)
            length = attribute.ulValueLen
            return result
        }
        if ReturnValue(rawValue: result) == .bufferTooSmall {
            throw .bufferTooSmall(needed: Int(clamping: try self.length(type, of: object)))
        }
        try CryptokiError.check(result, .getAttributeValue)
        guard length <= UInt(capacity) else { throw .malformedReply(.getAttributeValue) }
        return Int(length)
    }

    /// Many flags in one call, in the order asked for.
    ///
    /// A flag that is missing or sensitive does not spoil the others; anything else that goes wrong is thrown.
    public mutating func bools(
        _ types: [AttributeType], of object: ObjectHandle
    ) throws(CryptokiError) -> [AttributeReading<Bool>] {
        var flags = [UInt8](repeating: 0, count: types.count)
        var lengths = [UInt](repeating: 0, count: types.count)
        let result = flags.withUnsafeMutableBufferPointer { flags in
            var attributes = types.enumerated().map { index, type in
                CK_ATTRIBUTE(type: type.rawValue, pValue: flags.baseAddress.map { $0 + index }, ulValueLen: 1)
            }
            let result = cryptoki_get_attributes(
                functions.pointer, handle, object.rawValue, &attributes, UInt(attributes.count))
            for index in types.indices { lengths[index] = attributes[index].ulValueLen }
            return result
        }
        switch ReturnValue(rawValue: result) {
        case .ok, .attributeSensitive, .attributeTypeInvalid: break
        case let other: throw .failed(.getAttributeValue, other)
        }
        var readings: [AttributeReading<Bool>] = []
        for (index, type) in types.enumerated() {
            if lengths[index] == 1 {
                readings.append(.value(flags[index] != 0))
            } else {
                // One code stands for the whole call, so whichever it was for this attribute is asked for by itself.
                readings.append(try reading(type, of: object))
            }
        }
        return readings
    }

    /// A flag that may be missing or sensitive.
    public mutating func reading(
        _ type: AttributeType, of object: ObjectHandle
    ) throws(CryptokiError) -> AttributeReading<Bool> {
        do throws(CryptokiError) {
            return .value(try bool(type, of: object))
        } catch {
            switch error.returnValue {
            case .attributeTypeInvalid?: return .missing
            case .attributeSensitive?: return .sensitive
            default: throw error
            }
        }
    }

    private func length(_ type: AttributeType, of object: ObjectHandle) throws(CryptokiError) -> UInt {
        var attribute = CK_ATTRIBUTE(type: type.rawValue, pValue: nil, ulValueLen: 0)
        let result = cryptoki_get_attributes(functions.pointer, handle, object.rawValue, &attribute, 1)
        try CryptokiError.check(result, .getAttributeValue)
        guard attribute.ulValueLen != UInt.max else { throw .malformedReply(.getAttributeValue) }
        return attribute.ulValueLen
    }
}
