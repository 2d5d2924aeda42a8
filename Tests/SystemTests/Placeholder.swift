import Testing

@Test func systemTestsPlaceholder() {}
