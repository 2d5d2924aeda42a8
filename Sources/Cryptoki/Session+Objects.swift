internal import CCryptoki

extension Session {
    /// How many handles one C_FindObjects is asked for.
    private static var findBatch: Int { 256 }

    /// The objects that have all the attributes given, at most `limit` of them: C_FindObjectsInit, C_FindObjects and
    /// C_FindObjectsFinal (5.7). No attributes: all objects that the session can see.
    ///
    /// To learn whether there are more, ask for one more than wanted. Slow on tokens without an index.
    public mutating func findObjects(matching attributes: [Attribute], limit: Int) throws(CryptokiError) -> [ObjectHandle] {
        let template = Template(attributes)
        let begun = cryptoki_find_objects_init(functions.pointer, handle, template.attributes, UInt(template.count))
        try CryptokiError.check(begun, .findObjectsInit)
        let found: [ObjectHandle]
        do throws(CryptokiError) {
            found = try collect(limit)
        } catch {
            _ = cryptoki_find_objects_final(functions.pointer, handle)  // the search must end; the first error is the one told
            throw error
        }
        try CryptokiError.check(cryptoki_find_objects_final(functions.pointer, handle), .findObjectsFinal)
        return found
    }

    private func collect(_ limit: Int) throws(CryptokiError) -> [ObjectHandle] {
        var found: [ObjectHandle] = []
        var batch = [CK_OBJECT_HANDLE](repeating: 0, count: max(0, min(limit, Session.findBatch)))
        while found.count < limit {
            let wanted = min(batch.count, limit - found.count)
            var count: UInt = 0
            let result = cryptoki_find_objects(functions.pointer, handle, &batch, UInt(wanted), &count)
            try CryptokiError.check(result, .findObjects)
            guard count <= UInt(wanted) else { throw .malformedReply(.findObjects) }
            guard count > 0 else { break }
            for raw in batch.prefix(Int(count)) { found.append(try ObjectHandle(raw, from: .findObjects)) }
        }
        return found
    }

    /// Makes an object from a template: C_CreateObject (5.7).
    public mutating func createObject(_ attributes: [Attribute]) throws(CryptokiError) -> ObjectHandle {
        let template = Template(attributes)
        return try create(template)
    }

    /// Makes an object from a template and CKA_VALUE, which goes to the module from where it lies: C_CreateObject (5.7).
    ///
    /// - Parameter value: the secret, which stands first in the template; nothing of it is copied here.
    public mutating func createObject(_ attributes: [Attribute], value: RawSpan) throws(CryptokiError) -> ObjectHandle {
        let template = Template(attributes, leading: 1)
        return try value.withUnsafeBytes { (bytes) throws(CryptokiError) -> ObjectHandle in
            template.attributes.initialize(
                to: CK_ATTRIBUTE(
                    type: AttributeType.value.rawValue, pValue: UnsafeMutableRawPointer(mutating: bytes.baseAddress),
                    ulValueLen: UInt(bytes.count)))
            return try create(template)
        }
    }

    private func create(_ template: borrowing Template) throws(CryptokiError) -> ObjectHandle {
        var object: CK_OBJECT_HANDLE = 0
        let result = cryptoki_create_object(functions.pointer, handle, template.attributes, UInt(template.count), &object)
        try CryptokiError.check(result, .createObject)
        ObjectTally.add(1)
        return try ObjectHandle(object, from: .createObject)
    }

    /// Destroys an object: C_DestroyObject (5.7). Irreversible for token objects.
    public mutating func destroyObject(_ object: ObjectHandle) throws(CryptokiError) {
        try CryptokiError.check(cryptoki_destroy_object(functions.pointer, handle, object.rawValue), .destroyObject)
    }
}
