// Command heed is the consent and communication-preference gateway.
package main

func main() {}
