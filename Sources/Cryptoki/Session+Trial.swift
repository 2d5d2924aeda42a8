internal import CCryptoki

// What the examination of a token tries on objects of its own, as a thief with the PIN would. Nothing else may call it: on file-based
// tokens an interrupted C_SetAttributeValue loses the key, and tokens disagree on what a copy is.
extension Session {
    /// Changes attributes of an object that is nobody's: C_SetAttributeValue (PKCS#11 v2.40 section 5.7).
    package mutating func tryChanging(_ object: ObjectHandle, _ attributes: [Attribute]) throws(CryptokiError) {
        let template = Template(attributes)
        try CryptokiError.check(
            cryptoki_set_attributes(functions.pointer, handle, object.rawValue, template.attributes, UInt(template.count)),
            .setAttributeValue)
    }

    /// Copies an object that is nobody's: C_CopyObject (PKCS#11 v2.40 section 5.7).
    package mutating func tryCopying(_ object: ObjectHandle, _ attributes: [Attribute]) throws(CryptokiError) -> ObjectHandle {
        let template = Template(attributes)
        var copy: CK_OBJECT_HANDLE = 0
        let result = cryptoki_copy_object(
            functions.pointer, handle, object.rawValue, template.attributes, UInt(template.count), &copy)
        try CryptokiError.check(result, .copyObject)
        return try ObjectHandle(copy, from: .copyObject)
    }
}
