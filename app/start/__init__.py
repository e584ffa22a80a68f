"""The Start page: its picture, and what each rule pushes apart from what can be read off."""
