import Testing

@Test func CryptokiTestsPlaceholder() {}
